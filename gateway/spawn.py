"""Child processes, started without a copy of this one.

The loop's own way forks: it copies the page tables of all that the gateway has in memory, and nothing
else happens meanwhile (4 ms at 50 MB, 107 ms at 2 GB). `subprocess` borrows the memory until the child
has its program (vfork), which takes under a millisecond whatever there is.
Always: a child that has ended is buried, whether or not somebody waits for it.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack

LIMIT_BYTES = 64 << 10


class Process:
    """A child process, in a session of its own: Ctrl-C is for the gateway, which lets streams finish."""

    def __init__(self, started: "subprocess.Popen[bytes]") -> None:
        self._started = started
        self._ended = asyncio.Event()
        self._itself = os.pidfd_open(started.pid)  # readable once it has ended
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._itself, self._bury)

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._started.poll()

    async def wait(self) -> int:
        """How it ended."""
        await self._ended.wait()
        return self._started.wait()

    def kill(self) -> None:
        """Ends it, if it has not ended by itself."""
        self._started.kill()

    def _bury(self) -> None:
        self._loop.remove_reader(self._itself)
        os.close(self._itself)
        self._started.wait()
        self._ended.set()


class Piped(Process):
    """A child process that is written to and read."""

    def __init__(
        self, started: "subprocess.Popen[bytes]", stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader
    ) -> None:
        super().__init__(started)
        self.stdin = stdin
        self.stdout = stdout


def spawn(*command: str, stdin: int) -> Process:
    """A child with a descriptor as its standard input. Raises OSError."""
    return Process(_started(command, stdin=stdin))


async def piped(
    *command: str,
    env: Mapping[str, str] | None = None,
    limit_bytes: int = LIMIT_BYTES,
    stderr: int | None = None,
) -> Piped:
    """A child whose standard input and output have their other ends here; `limit_bytes` is that of a line
    read. Raises OSError."""
    with ExitStack() as stack:
        # sockets, as the loop has them in both directions; one each, for what is unread in one resets it
        stdin, its_stdin = (stack.enter_context(one) for one in socket.socketpair())
        stdout, its_stdout = (stack.enter_context(one) for one in socket.socketpair())
        loop = asyncio.get_running_loop()
        heard, unheard = asyncio.StreamReader(limit_bytes, loop), asyncio.StreamReader(1, loop)
        ear = await loop.create_unix_connection(lambda: _Ends(heard), sock=stdout)
        stack.callback(ear[0].abort)
        mouth = await loop.create_unix_connection(lambda: _Ends(unheard), sock=stdin)
        stack.callback(mouth[0].abort)
        started = _started(
            command, stdin=its_stdin.fileno(), stdout=its_stdout.fileno(), stderr=stderr, env=env
        )
        its_stdin.close()
        its_stdout.close()
        stack.pop_all()
    return Piped(started, asyncio.StreamWriter(*mouth, unheard, loop), heard)


class _Ends(asyncio.StreamReaderProtocol):
    """As a stream's, but the connection is closed as soon as the child has closed its end."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


def _started(
    command: tuple[str, ...],
    *,
    stdin: int,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, start_new_session=True
    )
