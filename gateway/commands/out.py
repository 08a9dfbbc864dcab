"""Standard output, in bytes.

Always: a reader that is slow, or has stopped to read, holds up nobody but who writes to it; one that
has left is no failure.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


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
        if self._there and data:
            await _apart(lambda: _written(partial(os.write, self._number), data))

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.styled else text

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.styled else text


async def poured(chunks: AsyncIterator[bytes], path: Path) -> None:
    """Writes into what is there and is no plain file, such as a FIFO. Raises ReaderLeft, OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY  # nothing that is in it already is lost
    file = await _apart(lambda: FileIO(path, "w", opener=lambda name, _: os.open(name, flags)))
    with file:  # it knows that it is closed, where a number may be another's by then
        async for data in chunks:
            await _apart(partial(_written, file.write, data))


async def _apart(work: Callable[[], T]) -> T:
    """What comes of work that may wait for a reader."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def end(found: T | None, failure: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(found)  # type: ignore[arg-type]

    def run() -> None:
        found = failure = None
        try:
            found = work()
        except BaseException as one:
            failure = one
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(end, found, failure)

    # a thread of its own, which the end of the program does not wait for; a descriptor that does
    # not block would do so for everybody who shares it, the shell too
    threading.Thread(target=run, name="output", daemon=True).start()
    return await done


def _written(write: Callable[[memoryview], int], data: bytes) -> None:
    """Writes all of it. Raises ReaderLeft, OSError."""
    left = memoryview(data)
    try:
        while left:
            left = left[write(left) :]
    except BrokenPipeError:
        raise ReaderLeft from None
