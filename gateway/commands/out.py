"""Standard output, in bytes.

Always: a reader that is slow, or has stopped to read, holds up nobody but who writes to it; one that
has left is no failure.
"""

import asyncio
import os
import sys
import threading
from contextlib import suppress


class ReaderLeft(Exception):
    """Nobody reads the output any more, as after `| head -1`."""


class Out:
    """What the command was asked for goes here, and nothing else."""

    def __init__(self) -> None:
        self._there = sys.stdout is not None  # it may be closed: then its number may be that of a socket
        self._number = sys.stdout.fileno() if self._there else -1
        self.terminal = self._there and os.isatty(self._number)
        self.styled = (
            self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        )

    async def write(self, data: bytes) -> None:
        """Returns when all of it is written. Raises ReaderLeft, OSError."""
        if not self._there or not data:
            return
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def end(failure: BaseException | None) -> None:
            if written.done():  # nobody waits any more
                return
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)

        def write() -> None:
            failure = _written(self._number, data)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(end, failure)

        # a thread of its own, which the end of the program does not wait for; a descriptor that does
        # not block would do so for everybody who shares it, the shell too
        threading.Thread(target=write, name="output", daemon=True).start()
        await written

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.styled else text

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.styled else text


def _written(number: int, data: bytes) -> BaseException | None:
    """Writes all of it; why that went wrong."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(number, left) :]
    except BrokenPipeError:
        return ReaderLeft()
    except OSError as failure:  # a full disk
        return failure
    return None
