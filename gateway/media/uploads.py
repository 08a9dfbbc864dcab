"""Uploads that were promised to be heard, kept on disk until they are: their process may die before.

Always: a file is there, whole and safe, before anybody is told so; who is sent its job has its folder.
"""

import asyncio
import math
import os
import time
from collections.abc import Collection
from pathlib import Path

import structlog

from gateway import secret
from gateway.errors import Busy, Interrupted
from gateway.media.spool import NO_ROOM, RETRY_AFTER_S, Spool
from gateway.media.spools import Fill

MEDIA_TYPE = "application/octet-stream"  # the decoder looks for itself
NAME = ".id"  # of the folder, which another machine has not

log = structlog.get_logger()


class Uploads:
    """Files by the ids of their jobs. A file shares its bytes with the spool that it was or becomes."""

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bytes_max = bytes_max
        self.id = secret.kept(folder, NAME).decode()[:16]

    async def keep(self, id_: str, spool: Spool) -> int:
        """Keeps a whole spool beyond its time; its size. Raises Busy."""
        assert spool.state == "whole"
        return await asyncio.to_thread(self._keep, id_, spool.path)

    def fill(self, id_: str, size: int) -> Fill:
        """Fills a spool with a file, which is as long as it was. Such a one raises Busy, Interrupted."""

        async def fill(spool: Spool) -> None:
            file = self._folder / id_
            try:
                if file.stat().st_size != size:
                    raise FileNotFoundError
                spool.adopt(file, MEDIA_TYPE)
            except FileNotFoundError:
                raise Interrupted("The upload is not here any more. Send it again.") from None
            except OSError as failure:
                log.error("an upload cannot be read", failure=os.strerror(failure.errno or 0))
                raise Interrupted("The upload cannot be read any more. Send it again.") from failure

        return fill

    def drop(self, id_: str) -> None:
        """Forgets a file; once more is no harm."""
        (self._folder / id_).unlink(missing_ok=True)

    def ids(self) -> tuple[str, ...]:
        """Whose files there are."""
        return tuple(name for name in os.listdir(self._folder) if not name.startswith("."))

    def older(self, seconds: float) -> frozenset[str]:
        """Whose files came longer ago than that."""
        before = time.time() - seconds
        with os.scandir(self._folder) as files:
            return frozenset(
                file.name for file in files if not file.name.startswith(".") and _made_at(file) < before
            )

    def sweep(self, seen: Collection[str], wanted: Collection[str]) -> int:
        """Forgets the files among those `seen` that are not `wanted` any more; how many."""
        for id_ in (left := set(seen).difference(wanted)):
            self.drop(id_)
        return len(left)

    def _keep(self, id_: str, path: Path) -> int:
        size = path.stat().st_size
        with os.scandir(self._folder) as files:
            there = sum(file.stat().st_size for file in files if not file.name.startswith("."))
        if there + size > self._bytes_max:
            raise Busy(NO_ROOM, retry_after_s=RETRY_AFTER_S)
        try:
            _synced(path)
            os.link(path, self._folder / id_)
            _synced(self._folder)
        except OSError as failure:
            log.error("an upload cannot be kept", failure=os.strerror(failure.errno or 0))
            raise Busy(NO_ROOM, retry_after_s=RETRY_AFTER_S) from failure
        return size


def _made_at(file: "os.DirEntry[str]") -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its job has just ended
        return math.inf


def _synced(path: Path) -> None:
    """What was written is on the disk, whatever happens to the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
