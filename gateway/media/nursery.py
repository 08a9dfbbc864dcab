"""A nursery as the gateway sees it: child processes within milliseconds, forked by one that has loaded
what they need.

Always: a child is known by a descriptor, never by a number that another process may have by now; one
that nobody holds any more is killed. A nursery that died is replaced when the next child is wanted;
its children go on, for they belong to those who hold them.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import structlog

from gateway import spawn
from gateway.errors import Busy
from gateway.media.cradle import BORN
from gateway.tasks import Background

TRIES_MAX = 2  # a nursery that died while nobody looked, and the one in its place
BIRTH_S = 60  # for a new nursery that still loads, on a busy machine; a fork takes milliseconds
PIPE_BYTES = 256 << 10

log = structlog.get_logger()


class _Lost(Exception):
    """The nursery ended, or does not answer."""


class Child:
    """A forked process, with its standard input and output. It is killed when its holder leaves."""

    def __init__(
        self, pid: int, itself: int, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._itself = itself

    def kill(self) -> None:
        """Ends the process, if it has not ended by itself."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._itself, signal.SIGKILL)

    async def ended(self) -> None:
        """Waits until the process is dead."""
        await _readable(self._itself)
        _bury(self._itself)


class Nursery:
    """Children that run a module, which is loaded once; it hands itself over to `cradle.serve`."""

    def __init__(self, module: str, background: Background) -> None:
        self._module = module
        self._background = background
        self._starting: asyncio.Task[_Mother] | None = None

    def load(self) -> None:
        """Starts the nursery process ahead of need."""
        if self._starting is None:
            self._start()

    def _start(self) -> None:
        self._starting = self._background.start(_started(self._module), f"nursery of {self._module}")

    async def close(self) -> None:
        """Ends the nursery process, and the children that are left."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
            if not self._starting.cancelled() and self._starting.exception() is None:
                await self._starting.result().end()

    @asynccontextmanager
    async def child(self) -> AsyncIterator[Child]:
        """A new child, to be held. Raises Busy when none is to be had."""
        with ExitStack() as held:
            child = await self._born(held)
            try:
                yield child
            finally:
                child.kill()
                await child.ended()

    async def _born(self, held: ExitStack) -> Child:
        for _ in range(TRIES_MAX):
            if self._starting is None:
                self._start()
            starting = self._starting
            assert starting is not None
            try:
                mother = await asyncio.shield(starting)
            except OSError as error:  # what is short may be there again soon
                self._forget(starting)
                raise Busy from error
            try:
                return await mother.child(held)
            except _Lost as failure:
                log.warning("nursery lost", module=self._module, reason=str(failure))
                self._forget(starting)
                await mother.end(alone=True)
            except OSError as error:
                raise Busy from error
        raise Busy

    def _forget(self, starting: "asyncio.Task[_Mother]") -> None:
        if self._starting is starting:
            self._starting = None


class _Mother:
    """The nursery process and the socket by which it is asked."""

    def __init__(self, process: spawn.Process, asked: socket.socket) -> None:
        self._process = process
        self._asked = asked

    @property
    def pid(self) -> int:
        return self._process.pid

    async def child(self, held: ExitStack) -> Child:
        """A new child; `held` lets go of what it takes to hold it. Raises _Lost, OSError."""
        with ExitStack() as half:
            stdin, its_stdin = (half.enter_context(one) for one in socket.socketpair())
            stdout, its_stdout = (half.enter_context(one) for one in socket.socketpair())
            stdout.setblocking(False)
            try:
                socket.send_fds(self._asked, [b"\0"], [its_stdin.fileno(), its_stdout.fileno()])
                # from now on they are only the nursery's: if it dies, ours end
                its_stdin.close()
                its_stdout.close()
                async with asyncio.timeout(BIRTH_S):
                    await _readable(stdout.fileno())
                word, descriptors, _, _ = socket.recv_fds(stdout, BORN.size, 1)
            except ConnectionError:
                raise _Lost("it has ended") from None
            except TimeoutError:
                raise _Lost("it does not answer") from None
            if not descriptors:
                raise _Lost("it ended, or could not fork")
            (itself,) = descriptors
            half.callback(os.close, itself)
            os.set_inheritable(itself, False)
            heard, ear = await asyncio.open_unix_connection(sock=stdout, limit=PIPE_BYTES)
            half.callback(_cut, ear)
            _, mouth = await asyncio.open_unix_connection(sock=stdin)
            half.callback(_cut, mouth)
            held.push(half.pop_all())
        (pid,) = BORN.unpack(word)
        return Child(pid, itself, mouth, heard)

    async def end(self, *, alone: bool = False) -> None:
        """Ends the process, and its children too unless it is `alone`."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                (os.kill if alone else os.killpg)(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._asked.close()  # not before: it would take that for the gateway's end, and its children along


async def _started(module: str) -> _Mother:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = spawn.spawn(sys.executable, "-m", module, stdin=theirs.fileno())
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)  # it is full when the nursery is behind by some hundred children
    return _Mother(process, ours)


def _bury(itself: int) -> None:
    """Takes note of a dead child that fell to us, as a container's first process, when its nursery died."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, itself, os.WEXITED | os.WNOHANG)


def _cut(stream: asyncio.StreamWriter) -> None:
    stream.transport.abort()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
