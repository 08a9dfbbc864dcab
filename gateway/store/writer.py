"""The rows of transcripts that have ended: written behind the answer, as soon as the database takes them.

Always: nobody waits for a row; what has none yet is bounded, and can be read meanwhile; rows are renamed
and removed between two writes, never during one.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
import structlog

from gateway.errors import NotFound, StoreUnavailable
from gateway.store.database import Database
from gateway.store.transcripts import Draft, Transcripts
from gateway.wire.events import Logged, line

BYTES_MAX = 64 << 20  # some hundred hours of speech: an outage of a night
CLOSE_S = 5.0  # for what is left at shutdown: longer than a burst, shorter than whoever sends SIGKILL waits
RETRY_S, RETRY_S_MAX = 0.5, 15.0

log = structlog.get_logger()


class Ended(msgspec.Struct, frozen=True):
    """A transcript that will not change any more."""

    draft: Draft
    events: Sequence[Logged]
    ended_at: datetime

    @property
    def bytes(self) -> int:
        """About what it takes to wait."""
        return sum(len(line(event)) for event in self.events)


class Writer:
    """Those that wait for their row, and the one that is being written."""

    def __init__(self, database: Database, transcripts: Transcripts, *, bytes_max: int = BYTES_MAX) -> None:
        self._database = database
        self._transcripts = transcripts
        self._bytes_max = bytes_max
        self._bytes = 0
        self._waiting: dict[str, Ended] = {}  # first come first
        self._some = asyncio.Event()
        self._turn = asyncio.Lock()  # who writes, renames or removes

    def __len__(self) -> int:
        """Transcripts without their row."""
        return len(self._waiting)

    def put(self, ended: Ended) -> None:
        """Takes a transcript, or drops it where too much waits already."""
        size = ended.bytes
        if self._bytes + size > self._bytes_max:
            log.error("a transcript is not kept: too many wait for the database", transcript=ended.draft.id)
            return
        self._waiting[ended.draft.id] = ended
        self._bytes += size
        self._some.set()

    def waiting(self, id_: str) -> Ended | None:
        """A transcript that has no row yet."""
        return self._waiting.get(id_)

    async def rename(self, id_: str, title: str | None) -> None:
        """Gives a transcript another title, whether it has its row or waits for it. Raises NotFound."""
        async with self._turn:
            if id_ not in self._waiting:
                try:
                    await self._transcripts.rename(id_, title)
                    return
                except NotFound:
                    if id_ not in self._waiting:  # it may have come meanwhile
                        raise
            ended = self._waiting[id_]
            draft = msgspec.structs.replace(ended.draft, title=title)
            self._waiting[id_] = msgspec.structs.replace(ended, draft=draft)

    async def delete(self, id_: str) -> None:
        """Removes a transcript, whether it has its row or waits for it. Raises NotFound, StoreUnavailable."""
        async with self._turn:
            try:
                await self._transcripts.delete(id_)  # it may have one although it waits: the answer was lost
            except NotFound:
                if id_ not in self._waiting:
                    raise
            self._drop(id_)

    async def run(self) -> None:
        """Writes for as long as the gateway runs."""
        wait_s = RETRY_S
        while True:
            await self._some.wait()
            try:
                await self._write_all()
                wait_s = RETRY_S
            except StoreUnavailable:
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S_MAX)

    async def close(self, close_s: float = CLOSE_S) -> None:
        """Writes what is left, within a deadline; `run` has ended."""
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(close_s):
                await self._write_all()
        if self._waiting:
            log.error("transcripts are lost: the database did not take them", count=len(self._waiting))

    async def _write_all(self) -> None:
        """Raises StoreUnavailable; what was not written goes on waiting."""
        while self._waiting:
            async with self._turn:
                for id_, ended in self._waiting.items():
                    await self._write(ended)
                    self._drop(id_)
                    break
        self._some.clear()

    async def _write(self, ended: Ended) -> None:
        try:
            async with self._database.transaction() as tx:
                await self._transcripts.save(tx, ended.draft, ended.events, ended_at=ended.ended_at)
        except StoreUnavailable:
            raise
        except Exception as failure:  # a fault of ours must not keep the others from their rows
            log.error("a transcript is not kept", transcript=ended.draft.id, exc_info=failure)

    def _drop(self, id_: str) -> None:
        ended = self._waiting.pop(id_, None)
        if ended is not None:
            self._bytes -= ended.bytes
