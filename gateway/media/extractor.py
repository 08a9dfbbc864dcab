"""Address to Post: deadline, cache, one extraction per post at a time.

Always: an extractor process is idle, at work on exactly one address, or dead; one that fails to
answer in time is killed, since a page that trickles cannot be stopped any other way.
"""

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from gateway import errors
from gateway.errors import Busy, ExtractionFailed, InvalidUrl, UpstreamTimeout, VideoTooLong
from gateway.media import links, tiktok
from gateway.media.links import Address
from gateway.media.post import Post
from gateway.settings import Settings
from gateway.tasks import Background, SingleFlight

POSTS_KEPT_MAX = 4096  # a post is some 5 KB
EXPIRY_MARGIN_S = 30  # a link this close to its end may be refused before it is used
TRIES_MAX = 3  # processes that died, idle perhaps, before one answered
ANSWER_BYTES_MAX = 8 << 20  # a post's page is under 1 MB

Unfold = Callable[[str], Awaitable[str]]  # a short link to where it leads

log = structlog.get_logger()


class Extractor:
    """Finds posts. `unfold` follows a short link; it only ever dials names of the site."""

    def __init__(self, settings: Settings, background: Background, unfold: Unfold) -> None:
        self._settings = settings
        self._unfold = unfold
        self._processes = _Processes(settings, background)
        self._posts: OrderedDict[str, tuple[float, Post]] = OrderedDict()
        self._flight: SingleFlight[str, Post] = SingleFlight(background, "extract")

    def start(self) -> None:
        """Starts the extractor processes, without waiting until they have loaded."""
        self._processes.start()

    async def close(self) -> None:
        """Ends the extractor processes."""
        await self._processes.close()

    async def find(self, text: str) -> Post:
        """The post of an address, or of a share text around one.

        Raises InvalidUrl, the errors of a refused post or origin, UpstreamTimeout, Busy.
        """
        address = links.find(text)
        if address.post_id is None:
            address = await self._unfolded(address)
        post_id = address.post_id
        assert post_id is not None
        post = self._kept(post_id) or await self._flight.run(post_id, lambda: self._extract(address))
        if (post.duration_s or 0) > self._settings.video_duration_max:
            raise VideoTooLong(f"The post is longer than {self._settings.video_duration_max:g} seconds.")
        return post

    def forget(self, post_id: str) -> None:
        """Drops a kept post whose links turned out to be refused."""
        self._posts.pop(post_id, None)

    async def _unfolded(self, address: Address) -> Address:
        try:
            async with asyncio.timeout(self._settings.extract_s):
                found = links.parse(await self._unfold(address.url))
        except TimeoutError:
            raise UpstreamTimeout from None
        if found is None or found.post_id is None:
            raise InvalidUrl("The short link does not lead to a post.")
        return found

    async def _extract(self, address: Address) -> Post:
        assert address.post_id is not None
        post = await self._processes.ask(tiktok.Ask(address.url, address.post_id))
        good_until = time.time() + self._settings.extract_cache_s
        if post.expires_at is not None:
            good_until = min(good_until, post.expires_at - EXPIRY_MARGIN_S)
        self._posts[post.id] = (good_until, post)
        while len(self._posts) > POSTS_KEPT_MAX:
            self._posts.popitem(last=False)
        return post

    def _kept(self, post_id: str) -> Post | None:
        good_until, post = self._posts.get(post_id, (0.0, None))
        if post is not None and time.time() >= good_until:
            del self._posts[post_id]
            return None
        return post


class _Processes:
    """A few extractor processes, lent one address at a time."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._settings = settings
        self._background = background
        self._idle: asyncio.Queue[_Process] = asyncio.Queue()
        self._all: set[_Process] = set()
        self._waiting = 0

    def start(self) -> None:
        for _ in range(self._settings.extract_processes):
            self._add()

    async def close(self) -> None:
        await asyncio.gather(*(process.end() for process in self._all))

    async def ask(self, ask: tiktok.Ask) -> Post:
        """The post. Raises what the process says, UpstreamTimeout, Busy, ExtractionFailed."""
        for _ in range(TRIES_MAX):
            try:
                answer = await self._asked(ask)
            except TimeoutError:
                raise UpstreamTimeout from None
            # uvloop tells a pipe whose process has died by a RuntimeError
            except (OSError, EOFError, ValueError, RuntimeError) as failure:
                log.warning("extractor process lost", post=ask.post_id, failure=repr(failure))
                continue
            if answer.post is None:
                raise errors.by_code(answer.error or "", answer.detail)
            return answer.post
        raise ExtractionFailed("The extractor broke on this post.")

    async def _asked(self, ask: tiktok.Ask) -> tiktok.Answer:
        """A process's answer within the deadline; a process that is not heard to its end is replaced."""
        if self._idle.empty() and self._waiting >= self._settings.extract_waiting_max:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.extract_s / 2):
                process = await self._idle.get()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        heard = False
        try:
            async with asyncio.timeout(self._settings.extract_s):
                answer = await process.ask(ask)
            heard = True
            return answer
        finally:
            if heard:
                self._idle.put_nowait(process)
            else:
                self._all.discard(process)
                process.kill()
                self._background.start(process.end(), "extractor ended")
                self._add()

    def _add(self) -> None:
        process = _Process(self._background.start(_spawn(self._settings), "extractor started"))
        self._all.add(process)
        self._idle.put_nowait(process)


class _Process:
    """One child process, started ahead of its first address."""

    def __init__(self, starting: "asyncio.Task[asyncio.subprocess.Process]") -> None:
        self._starting = starting
        self._loaded = False

    async def ask(self, ask: tiktok.Ask) -> tiktok.Answer:
        child = await asyncio.shield(self._starting)
        assert child.stdin is not None
        if not self._loaded:
            await _line(child)
            self._loaded = True
        child.stdin.write(msgspec.json.encode(ask) + b"\n")
        await child.stdin.drain()
        return msgspec.json.decode(await _line(child), type=tiktok.Answer)

    def kill(self) -> None:
        if (child := self._child()) is not None and child.returncode is None:
            child.kill()
        self._starting.cancel()

    async def end(self) -> None:
        self.kill()
        await asyncio.wait([self._starting])
        if (child := self._child()) is not None:
            await child.wait()

    def _child(self) -> asyncio.subprocess.Process | None:
        done = self._starting.done() and not self._starting.cancelled() and not self._starting.exception()
        return self._starting.result() if done else None


async def _spawn(settings: Settings) -> asyncio.subprocess.Process:
    ca_file = settings.proxy_ca_file
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.tiktok",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=ANSWER_BYTES_MAX,
        start_new_session=True,  # Ctrl-C is for the gateway, which lets streams finish
        env=tiktok.environment(settings.proxy_url, str(ca_file) if ca_file else None),
    )  # fmt: skip


async def _line(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    line = await child.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the extractor process ended")
    return line
