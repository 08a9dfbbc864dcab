"""The extractor processes, lent one address at a time.

Always: a process is idle, at work on exactly one address, or dead; one that fails to answer in time is
killed, since a page that trickles cannot be stopped any other way.
"""

import asyncio
import sys
from collections.abc import Callable

import msgspec
import structlog

from gateway import errors, spawn
from gateway.errors import (
    Busy,
    ExtractionFailed,
    SiteUnreached,
    UpstreamTimeout,
)
from gateway.media import tiktok
from gateway.media.post import Post
from gateway.settings import Settings
from gateway.tasks import Background

TRIES_MAX = 3  # processes that died, idle perhaps, before one answered
ANSWER_BYTES_MAX = 8 << 20  # a post's page is under 1 MB
LOAD_S = 60  # for a new process, on a busy machine

log = structlog.get_logger()


class Processes:
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

    def load(self) -> None:
        """Starts all processes ahead of need."""
        for process in self._all:
            process.start()

    async def close(self) -> None:
        await asyncio.gather(*(process.end() for process in self._all))

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [pid for process in self._all if (pid := process.pid) is not None]

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
            for what, words in answer.notes:
                log.warning(what, post=ask.post_id, words=words)
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
                self._add().start()

    def _add(self) -> "_Process":
        process = self._made()
        self._all.add(process)
        self._idle.put_nowait(process)
        return process

    def _made(self) -> "_Process":
        return _Process(lambda: self._background.start(_spawn(self._settings), "extractor started"))


class _Process:
    """One child process, started ahead of its first address, or by it."""

    def __init__(self, start: "Callable[[], asyncio.Task[spawn.Piped]]") -> None:
        self._start = start
        self._starting: asyncio.Task[spawn.Piped] | None = None
        self._version: str | None = None
        self.retired = False  # another has taken its place
        self.left = asyncio.Event()  # it was retired, and nobody waits for it any more

    def start(self) -> "asyncio.Task[spawn.Piped]":
        """The child, where it is not there yet."""
        if self._starting is None:
            self._starting = self._start()
        return self._starting

    async def ask(self, ask: tiktok.Ask) -> tiktok.Answer:
        await self.loaded()
        child = await asyncio.shield(self.start())
        child.stdin.write(msgspec.json.encode(ask) + b"\n")
        await child.stdin.drain()
        return msgspec.json.decode(await _line(child), type=tiktok.Answer)

    async def loaded(self) -> str:
        """Waits until it can be asked; the version of yt-dlp that it runs."""
        if self._version is None:
            line = await _line(await asyncio.shield(self.start()))
            self._version = msgspec.json.decode(line, type=tiktok.Loaded).version
        return self._version

    @property
    def pid(self) -> int | None:
        """None while it starts, and once it has ended."""
        child = self._child()
        return child.pid if child is not None and child.returncode is None else None

    def kill(self) -> None:
        if (child := self._child()) is not None:
            child.kill()
        if self._starting is not None:
            self._starting.cancel()

    async def end(self) -> None:
        self.kill()
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if (child := self._child()) is not None:
            await child.wait()

    def _child(self) -> spawn.Piped | None:
        starting = self._starting
        if starting is None or not starting.done() or starting.cancelled() or starting.exception():
            return None
        return starting.result()


async def _spawn(settings: Settings) -> spawn.Piped:
    return await spawn.piped(
        sys.executable, "-m", "gateway.media.tiktok", limit_bytes=ANSWER_BYTES_MAX,
        env=tiktok.environment(settings.origin_hosts, settings.proxy_ca_file, settings.cookies_file),
    )  # fmt: skip


async def _line(child: spawn.Piped) -> bytes:
    line = await child.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the extractor process ended")
    return line
