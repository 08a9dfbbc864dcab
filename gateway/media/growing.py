"""A file that is still being written, as the decoder process reads it.

Always: the end of the file is the end of a whole one; one that broke raises, and is no end.
"""

import io
import os
from typing import BinaryIO

import msgspec

from gateway.media.samples import Told


class Broken(OSError):
    """The file broke before what was to be read."""


class Growing:
    """A growing file, told of line by line. It has no `seek`, so that PyAV reads it forwards only."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._told = self._next()
        assert self._told.path is not None
        assert self._told.cpu_s is not None
        self.cpu_s = self._told.cpu_s
        self._file = io.FileIO(self._told.path)
        self._at = 0

    def _next(self) -> Told:
        line = self._lines.readline()
        if not line:
            os._exit(0)  # the gateway is gone, or nobody listens any more
        return msgspec.json.decode(line, type=Told)

    def _wait(self, size: int) -> int:
        """Waits until there are `size` bytes or no more will come; how many there are. Raises Broken."""
        while self._told.size < size and self._told.state == "growing":
            self._told = self._next()
        if self._told.state == "broken" and self._told.size < size:
            raise Broken("the media broke")
        return self._told.size

    def read(self, length: int) -> bytes:
        """Up to `length` bytes, waiting for at least one; empty only at the true end."""
        there = self._wait(self._at + 1) - self._at
        data = self._file.read(max(0, min(length, there)))
        self._at += len(data)
        return data

    def peek(self, at: int, length: int) -> bytes:
        """Bytes at a place, without moving; fewer only at the true end."""
        there = self._wait(at + length) - at
        return os.pread(self._file.fileno(), max(0, min(length, there)), at)

    def whole(self) -> io.FileIO:
        """The file itself, to seek in, once all of it is there."""
        self._wait(1 << 62)
        self._file.seek(0)
        return self._file
