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
from gateway.errors import (
    Busy,
    ExtractionFailed,
    GatewayError,
    InvalidUrl,
    SiteUnreached,
    UpstreamTimeout,
    VideoTooLong,
)
from gateway.media import links, tiktok
from gateway.media.exits import FAULTS, SLOW, Exits
from gateway.media.links import Address
from gateway.media.post import Post
from gateway.settings import Settings
from gateway.tasks import Background, SingleFlight

POSTS_KEPT_MAX = 4096  # a post is some 5 KB
EXPIRY_MARGIN_S = 30  # a link this close to its end may be refused before it is used
TRIES_MAX = 3  # processes that died, idle perhaps, before one answered
ANSWER_BYTES_MAX = 8 << 20  # a post's page is under 1 MB
EXITS_TRIED_MAX = 4
LEFT_S_MIN = 1  # less time than this is not worth another exit
LOAD_S = 60  # for a new process, on a busy machine
SETTLE_S = 5  # an upgrade that is seen half done is whole by then

Unfold = Callable[[str], Awaitable[str]]  # a short link to where it leads

log = structlog.get_logger()


class Extractor:
    """Finds posts. `unfold` follows a short link; it only ever dials names of the site."""

    def __init__(self, settings: Settings, background: Background, exits: Exits, unfold: Unfold) -> None:
        self._settings = settings
        self._exits = exits
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
        address = await self._address(text)
        post_id = address.post_id
        assert post_id is not None
        post = self._kept(post_id) or await self._flight.run(post_id, lambda: self._extract(address))
        if (post.duration_s or 0) > self._settings.video_duration_max:
            raise VideoTooLong(f"The post is longer than {self._settings.video_duration_max:g} seconds.")
        return post

    def forget(self, post_id: str) -> None:
        """Drops a kept post whose links turned out to be refused."""
        self._posts.pop(post_id, None)

    async def fresh(self, text: str) -> Post:
        """The post as its page is now, past what is kept. Raises the same."""
        return await self._read(await self._address(text))

    async def renew(self) -> None:
        """Replaces the extractor processes one by one, so that they run the yt-dlp that is installed now."""
        await self._processes.renew()

    async def renew_if_changed(self) -> None:
        """The same, if another yt-dlp is installed than they run."""
        if await asyncio.to_thread(tiktok.installed) in (None, self._processes.version):
            return
        await asyncio.sleep(SETTLE_S)
        await self._processes.renew()

    async def _address(self, text: str) -> Address:
        address = links.find(text)
        return address if address.post_id is not None else await self._unfolded(address)

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
        post = await self._read(address)
        good_until = time.time() + self._settings.extract_cache_s
        if post.expires_at is not None:
            good_until = min(good_until, post.expires_at - EXPIRY_MARGIN_S)
        self._posts[post.id] = (good_until, post)
        while len(self._posts) > POSTS_KEPT_MAX:
            self._posts.popitem(last=False)
        return post

    async def _read(self, address: Address) -> Post:
        """Reads the page, through another exit where one does not get it, as long as there is time."""
        assert address.post_id is not None
        left_s, failure = self._settings.extract_s, None
        order = self._exits.order()[:EXITS_TRIED_MAX]
        for number, exit in enumerate(order, 1):
            last, began = number == len(order), time.monotonic()
            try:
                # a page that hangs leaves half of the time to the others
                post = await self._processes.ask(
                    tiktok.Ask(address.url, address.post_id, exit), left_s if last else left_s / 2
                )
            except GatewayError as error:
                self._exits.told(exit, error.code)
                if error.code not in FAULTS and error.code != SLOW:
                    raise
                # what the site says is worth more than that a proxy did not work
                if failure is None or failure.code == errors.ProxyFailed.code:
                    failure = error
                left_s -= time.monotonic() - began
                if left_s < LEFT_S_MIN:
                    break
            else:
                self._exits.told(exit, None)
                return post
        assert failure is not None
        raise failure

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
        self._renewing = asyncio.Lock()
        self.version: str | None = None  # of the yt-dlp that was installed when they were started

    def start(self) -> None:
        self.version = tiktok.installed()
        for _ in range(self._settings.extract_processes):
            self._add()

    async def close(self) -> None:
        await asyncio.gather(*(process.end() for process in self._all))

    async def ask(self, ask: tiktok.Ask, within_s: float) -> Post:
        """The post. Raises what the process says, UpstreamTimeout, Busy, ExtractionFailed."""
        for _ in range(TRIES_MAX):
            try:
                answer = await self._asked(ask, within_s)
            except TimeoutError:
                raise UpstreamTimeout from None
            # uvloop tells a pipe whose process has died by a RuntimeError
            except (OSError, EOFError, ValueError, RuntimeError) as failure:
                log.warning("extractor process lost", post=ask.post_id, failure=repr(failure))
                continue
            if answer.post is None:
                if answer.unreached:
                    raise SiteUnreached(answer.detail)
                raise errors.by_code(answer.error or "", answer.detail)
            return answer.post
        raise ExtractionFailed("The extractor broke on this post.")

    async def renew(self) -> None:
        """Puts a new process in the place of each, once it has loaded; one at work finishes first."""
        async with self._renewing:
            installed = await asyncio.to_thread(tiktok.installed)
            for old in tuple(self._all):
                new = self._made()
                self._all.add(new)
                try:
                    async with asyncio.timeout(LOAD_S):
                        version = await new.loaded()
                except (OSError, EOFError, ValueError, RuntimeError) as failure:
                    log.error("new yt-dlp does not start; the old one goes on", failure=repr(failure))
                    self._all.discard(new)
                    await new.end()
                    return
                if old not in self._all:  # it was lost meanwhile, and the one in its place is as new
                    self._all.discard(new)
                    await new.end()
                    continue
                self._idle.put_nowait(new)
                await self._retire(old)
                log.info("extractor renewed", yt_dlp=version)
            self.version = installed

    async def _retire(self, old: "_Process") -> None:
        """Waits until a process is idle, and ends it."""
        old.retired = True
        for _ in range(self._idle.qsize()):  # nobody can come between: nothing waits here
            process = self._idle.get_nowait()
            if process is old:
                old.left.set()
            else:
                self._idle.put_nowait(process)
        await old.left.wait()  # its extraction has a deadline
        self._all.discard(old)
        await old.end()

    async def _asked(self, ask: tiktok.Ask, within_s: float) -> tiktok.Answer:
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
            async with asyncio.timeout(within_s):
                answer = await process.ask(ask)
            heard = True
            return answer
        finally:
            if process.retired:
                process.left.set()
            elif heard:
                self._idle.put_nowait(process)
            else:
                self._all.discard(process)
                process.kill()
                self._background.start(process.end(), "extractor ended")
                self._add()

    def _add(self) -> None:
        process = self._made()
        self._all.add(process)
        self._idle.put_nowait(process)

    def _made(self) -> "_Process":
        return _Process(self._background.start(_spawn(self._settings), "extractor started"))


class _Process:
    """One child process, started ahead of its first address."""

    def __init__(self, starting: "asyncio.Task[asyncio.subprocess.Process]") -> None:
        self._starting = starting
        self._version: str | None = None
        self.retired = False  # another has taken its place
        self.left = asyncio.Event()  # it was retired, and nobody waits for it any more

    async def ask(self, ask: tiktok.Ask) -> tiktok.Answer:
        await self.loaded()
        child = await asyncio.shield(self._starting)
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(ask) + b"\n")
        await child.stdin.drain()
        return msgspec.json.decode(await _line(child), type=tiktok.Answer)

    async def loaded(self) -> str:
        """Waits until it can be asked; the version of yt-dlp that it runs."""
        if self._version is None:
            line = await _line(await asyncio.shield(self._starting))
            self._version = msgspec.json.decode(line, type=tiktok.Loaded).version
        return self._version

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
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.tiktok",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=ANSWER_BYTES_MAX,
        start_new_session=True,  # Ctrl-C is for the gateway, which lets streams finish
        env=tiktok.environment(settings.origin_hosts, settings.proxy_ca_file, settings.cookies_file),
    )  # fmt: skip


async def _line(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    line = await child.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the extractor process ended")
    return line
