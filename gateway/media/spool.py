"""A spool is arriving once and read by many: an append-only file with one writer and any readers.

Always: a spool is growing, whole or broken; a broken one is never served as whole and never kept.
Every byte on disk is counted before it is written.
"""

import asyncio
import errno
import hashlib
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Literal, Protocol

import structlog

from gateway.errors import Busy, GatewayError, UpstreamFailed

READ_BYTES = 256 << 10  # larger reads gain nothing, and a slow client holds one in memory
RETRY_AFTER_S = 30

NO_ROOM = "There is no room left to keep media."

State = Literal["growing", "whole", "broken"]
log = structlog.get_logger()


class Room(Protocol):
    """The bytes on disk that all spools share."""

    def taken(self, more: int) -> bool:
        """Counts `more` bytes, for which finished spools may be put out; False when there is no room."""

    def given_back(self, less: int) -> None:
        """Counts `less` bytes no more."""

    def cleared(self, wanted: int) -> bool:
        """Puts finished spools out until `wanted` bytes are free that were not; False when none was left."""


class Spool:
    """One part's bytes. `length` is what the origin announced, None while it is not known."""

    def __init__(self, path: Path, room: Room) -> None:
        self.path = path
        self.size = 0
        self.length: int | None = None
        self.media_type: str | None = None  # set, once, by the first bytes
        self.etag: str | None = None  # the origin's if it is a strong one; it comes before the first bytes
        self.state: State = "growing"
        self.failure: GatewayError | None = None
        self.reserved = 0
        self.passing = False  # not to be kept: what it was made of was not all there
        self._room = room
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # -1: nobody reads
        self._digest: str | None = None
        self._sleepers: list[asyncio.Future[None]] = []

    # the writer

    def expect(self, length: int) -> None:
        """Reserves the announced length, on the disk too. Raises Busy when there is no room for it."""
        self._reserve(length)
        while length:
            try:
                os.posix_fallocate(self.fd, 0, length)
                break
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    break  # a disk that cannot reserve may be full later
                self._disk_failed(error, length)
        self.length = length

    def begin(self, media_type: str) -> None:
        """Says what the bytes are; readers that wait for the beginning wake up."""
        self.media_type = media_type
        self._wake()

    def append(self, data: bytes) -> None:
        """Adds bytes and wakes the readers. Raises Busy without room, UpstreamFailed when the disk fails."""
        assert self.state == "growing"
        self._reserve(self.size + len(data))
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.fd, left) :]
            except OSError as error:
                self._disk_failed(error, len(left))
        self.size += len(data)
        self._wake()

    def adopt(self, file: Path, media_type: str) -> None:
        """Takes the bytes of a file that is there already, by another name of it, in place of being filled.

        Raises Busy without room, FileNotFoundError without the file.
        """
        assert self.state == "growing"
        assert not self.size
        self._reserve(file.stat().st_size)
        self.path.unlink()
        os.link(file, self.path)
        self.rest_file()
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.begin(media_type)

    def finish(self) -> None:
        """All bytes are there."""
        assert self.state == "growing"
        assert self.length is None or self.length == self.size
        os.ftruncate(self.fd, self.size)  # an earlier answer may have announced more
        self._room.given_back(self.reserved - self.size)
        self.reserved = self.size
        self.state, self.length = "whole", self.size
        self._wake()

    def break_(self, failure: GatewayError) -> None:
        """No more bytes will come, and these are not all."""
        if self.state == "growing":
            self.state, self.failure = "broken", failure
            self._wake()

    def _disk_failed(self, error: OSError, wanted: int) -> None:
        """Returns when finished spools were put out for it, so that a full disk may be tried again."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            if self._room.cleared(wanted):
                return
            log.error("the disk is full", wanted=wanted)
            raise Busy(NO_ROOM, retry_after_s=RETRY_AFTER_S) from error
        log.error("spool not written", failure=os.strerror(error.errno or 0))
        raise UpstreamFailed("The media could not be kept here.") from error

    def wake_file(self) -> None:
        """Opens the file of a finished spool again; a spool that nobody reads holds no descriptor."""
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def rest_file(self) -> None:
        """Closes it; the last reader of a whole spool has left."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # the readers

    async def begun(self) -> str:
        """The media type, once the first bytes are at hand. Raises what broke the spool before that."""
        while self.media_type is None or not self.size:
            self.check()
            await self._change()
        return self.media_type

    async def tag(self) -> str | None:
        """The entity tag: the origin's, else of the bytes' sha256 once all are there; None until then."""
        if self.etag is None and self.state == "whole":
            self.etag = f'"{await self.digest()}"'
        return self.etag

    async def digest(self) -> str:
        """The sha256 of all bytes, in hexadecimal, once they are there. Raises what broke the spool."""
        await self.grown(sys.maxsize)
        self.check()
        if self._digest is None:
            self._digest = await asyncio.to_thread(_sha256, self.path)
        return self._digest

    async def grown(self, seen: int) -> State:
        """The state, once there is more than `seen` bytes or there will be no more."""
        while self.state == "growing" and self.size <= seen:
            await self._change()
        return self.state

    async def ready(self, start: int, end: int | None, most: int) -> AsyncGenerator[int, None]:
        """How many bytes may be read next, from `start` on to `end` or the spool's end, `most` at a time.

        Raises what broke the spool, after its last good byte.
        """
        at = start
        while end is None or at < end:
            if at < self.size:
                size = min(self.size if end is None else min(end, self.size), at + most) - at
                at += size
                yield size
                continue
            self.check()
            if self.state == "whole":
                return
            await self.grown(at)

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to `end`, or to the spool's end. Raises as `ready`."""
        at = start
        async with aclosing(self.ready(start, end, READ_BYTES)) as sizes:
            async for size in sizes:
                data = os.pread(self.fd, size, at)
                assert len(data) == size
                at += size
                yield data

    def check(self) -> None:
        """Raises what broke the spool, if it is broken."""
        if self.state == "broken":
            failure = self.failure or UpstreamFailed()
            # each reader raises an error of its own: one object would gather every reader's traceback
            raise type(failure)(failure.message, retry_after_s=failure.retry_after_s)

    async def _change(self) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        await sleeper

    def _wake(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def _reserve(self, size: int) -> None:
        if size > self.reserved:
            if not self._room.taken(size - self.reserved):
                raise Busy(NO_ROOM, retry_after_s=RETRY_AFTER_S)
            self.reserved = size

    def remove(self) -> None:
        """Closes and deletes the file; its last reader has left."""
        self.rest_file()
        self.path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    """Opens the file for itself: who asked may have left, and closed the spool's own descriptor."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
