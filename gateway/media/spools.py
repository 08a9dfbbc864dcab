"""All spools: who fills which, how many read it, what is kept and what is put out.

Always: a spool that is read is never put out, and one that nobody reads holds no descriptor. Finished
ones are the disk cache, least recently wanted first out. Every byte on disk is counted before it is
written.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog

from gateway.errors import Busy, GatewayError, UpstreamFailed
from gateway.media.spool import NO_ROOM, RETRY_AFTER_S, Spool
from gateway.tasks import Background, Shared

SPOOLS_MAX = 65_536  # each is an entry in memory and in a folder
BOOT = Path("/proc/sys/kernel/random/boot_id")
MARK_BYTES_MAX = 200
NEARLY = 0.9  # of a spool: when everybody leaves, the rest is read all the same

log = structlog.get_logger()

Fill = Callable[[Spool], Awaitable[None]]


class _Entry:
    """A spool in the index: who fills it, how many read it, when it was last wanted."""

    def __init__(self, spool: Spool, filling: Shared) -> None:
        self.spool = spool
        self.filling = filling
        self.wanted_at = time.monotonic()


class Spools:
    """All spools of this process, in a folder of its own below `folder`; those of dead processes are swept,
    unless that is left to another."""

    def __init__(
        self, folder: Path, background: Background, *, bytes_max: int, keep_s: float, sweep: bool = True
    ) -> None:
        self._background = background
        self._bytes_max = bytes_max
        self._keep_s = keep_s
        self._bytes = 0
        self.hits = 0  # parts that were there when they were wanted
        self.misses = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()  # least recently wanted first
        folder.mkdir(parents=True, exist_ok=True)
        with _sweeping(folder):  # nobody sweeps a folder that is made and not yet held
            # the names of processes that died since somebody swept
            self.dead = _sweep(folder) if sweep else ()
            self._folder = Path(tempfile.mkdtemp(prefix="spools-", dir=folder))
            self._lock = _locked(self._folder)
            os.write(self._lock, _mark(self._lock))
        self.name = self._folder.name  # nobody else's, as long as this process lives
        self._made = 0

    @asynccontextmanager
    async def open(self, key: Hashable, fill: Fill, *, passing: bool = False) -> AsyncIterator[Spool]:
        """The spool of `key`: the one there is, or a new one that `fill` writes.

        While anybody has it open it is filled and kept; the last to leave a growing one ends it. One
        that is `passing` is not kept, and no hit or miss.
        """
        entry = self._there(key)
        if not passing:
            self.hits, self.misses = self.hits + (entry is not None), self.misses + (entry is None)
        entry = entry or self._add(key, fill)
        entry.spool.passing |= passing
        try:
            entry.spool.wake_file()
        except OSError as error:
            raise Busy from error
        async with entry.filling.joined():
            self._entries.move_to_end(key) if self._entries.get(key) is entry else None
            try:
                yield entry.spool
            finally:
                entry.wanted_at = time.monotonic()
                if entry.filling.waiters == 1:  # us, the last
                    self._left(key, entry)

    def upload(self, key: Hashable, fill: Fill) -> AbstractAsyncContextManager[Spool]:
        """A caller's own media as a spool; they are kept no longer than somebody reads them."""
        return self.open(("upload", key), fill, passing=True)

    def __len__(self) -> int:
        """Spools in the index."""
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Disk that is counted."""
        return self._bytes

    def kept(self, key: Hashable) -> Spool | None:
        """The spool that `open` would give now without filling a new one, if there is one."""
        entry = self._there(key)
        return entry.spool if entry is not None else None

    def sweep(self) -> None:
        """Puts out finished spools that nobody has wanted for the time they are kept."""
        old = time.monotonic() - self._keep_s
        for key, entry in list(self._entries.items()):
            if not entry.filling.waiters and entry.wanted_at < old:
                self._drop(key, entry)

    def close(self) -> None:
        """Deletes every spool; nobody reads any more."""
        for key, entry in list(self._entries.items()):
            self._drop(key, entry)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _there(self, key: Hashable) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None or entry.spool.state == "broken" or entry.filling.task.cancelling():
            return None
        return entry

    def _add(self, key: Hashable, fill: Fill) -> _Entry:
        self._made += 1
        if len(self._entries) >= SPOOLS_MAX and not self.cleared(0):
            raise Busy(NO_ROOM, retry_after_s=RETRY_AFTER_S)
        try:
            spool = Spool(self._folder / str(self._made), self)
        except OSError as error:
            log.error("no spool could be made", failure=os.strerror(error.errno or 0))
            raise Busy from error
        task = self._background.start(self._fill(spool, fill), f"spool {key}")
        entry = self._entries[key] = _Entry(spool, Shared(task))
        return entry

    @staticmethod
    async def _fill(spool: Spool, fill: Fill) -> None:
        try:
            await fill(spool)
            if not spool.size:
                raise UpstreamFailed("The site sent an empty file.")
            spool.finish()
        except GatewayError as failure:
            spool.break_(failure)
        except BaseException:
            spool.break_(UpstreamFailed())
            raise

    def _left(self, key: Hashable, entry: _Entry) -> None:
        if self._entries.get(key) is entry and _nearly_whole(entry.spool):
            entry.filling.waiters += 1  # ours, until it is whole
            self._background.start(self._finished(key, entry), f"spool {key} finished")
        elif entry.spool.state != "whole" or entry.spool.passing or self._entries.get(key) is not entry:
            self._drop(key, entry)
        else:
            entry.spool.rest_file()

    async def _finished(self, key: Hashable, entry: _Entry) -> None:
        """Waits for the rest of a spool that everybody left when it was nearly whole."""
        try:
            await asyncio.wait([entry.filling.task])
        finally:
            if entry.filling.waiters == 1:
                self._left(key, entry)
            entry.filling.waiters -= 1

    def _drop(self, key: Hashable, entry: _Entry) -> None:
        entry.filling.task.cancel()
        entry.spool.break_(UpstreamFailed())
        entry.spool.remove()
        self._bytes -= entry.spool.reserved
        if self._entries.get(key) is entry:
            del self._entries[key]

    def taken(self, more: int) -> bool:
        """As Room has it."""
        over = self._bytes + more - self._bytes_max
        if over > 0 and not self.cleared(over):
            return False
        self._bytes += more
        return True

    def given_back(self, less: int) -> None:
        """As Room has it."""
        self._bytes -= less

    def cleared(self, wanted: int) -> bool:
        """As Room has it."""
        freed, some = 0, False
        for key, entry in list(self._entries.items()):
            if not entry.filling.waiters:
                freed, some = freed + entry.spool.reserved, True
                self._drop(key, entry)
                if freed >= wanted:
                    return True
        return some and freed >= wanted


def _nearly_whole(spool: Spool) -> bool:
    """Whether so little is missing that reading it again would cost more."""
    return spool.state == "growing" and spool.length is not None and spool.size >= NEARLY * spool.length


def _locked(folder: Path) -> int:
    """Holds the folder for as long as this process lives."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


@contextmanager
def _sweeping(folder: Path) -> Iterator[None]:
    """One process at a time."""
    lock = os.open(folder / ".sweep", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _mark(lock: int) -> bytes:
    """What a lock says of itself: of a copy it is not true, and nor is it elsewhere or after a boot."""
    found = os.fstat(lock)
    boot = ""
    with suppress(OSError):  # some sandboxes tell no boot
        boot = BOOT.read_text().strip()
    return f"{boot} {found.st_dev} {found.st_ino}".encode()


def _sweep(folder: Path) -> tuple[str, ...]:
    """Deletes the spools of processes that died; whose they were, where that is sure.

    The process of a folder that was copied here may live where it was copied from.
    """
    dead = []
    for left in folder.glob("spools-*"):
        try:
            lock = _locked(left)
        except OSError:
            continue  # its process lives
        if os.read(lock, MARK_BYTES_MAX) == _mark(lock):
            dead.append(left.name)
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)
    return tuple(dead)
