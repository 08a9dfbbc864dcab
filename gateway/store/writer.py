"""The rows of transcripts that have ended: written behind the answer, as soon as the database takes them.

Always: nobody waits for a row; what has none yet is bounded, and can be read meanwhile; rows are renamed
and removed between two writes, never during one.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog

from gateway.errors import NotFound, StoreUnavailable
from gateway.store import behind
from gateway.store.database import Database
from gateway.store.stored import Draft
from gateway.store.transcripts import Transcripts
from gateway.wire.events import Logged, line

BYTES_MAX = 64 << 20  # some hundred hours of speech: an outage of a night
OWNED_MAX = 100_000  # some 20 MB
CLOSE_S = 5.0  # for what is left at shutdown: longer than a burst, shorter than whoever sends SIGKILL waits

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
        self._owned: dict[tuple[str, str], None] = {}  # who joined one that has its row, first come first
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

    def own(self, id_: str, owner: str) -> None:
        """Gives a transcript that has ended one owner more, soon."""
        ended = self._waiting.get(id_)
        if ended is not None and owner not in (ended.draft.owner, *ended.draft.others):
            draft = msgspec.structs.replace(ended.draft, others=(*ended.draft.others, owner))
            self._waiting[id_] = msgspec.structs.replace(ended, draft=draft)
        if len(self._owned) >= OWNED_MAX:
            log.error("an owner is not kept: too many wait for the database", transcript=id_)
            return
        self._owned[id_, owner] = None  # also of one that waits: it may be on its way to its row just now
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

    async def delete(self, id_: str, *, owner: str | None = None) -> None:
        """Removes a transcript, whether it has its row or waits for it; of an `owner`, where others have it,
        only from his. Raises NotFound, StoreUnavailable.
        """
        async with self._turn:
            ended = self._waiting.get(id_)
            for one in [one for one in self._owned if one[0] == id_]:
                if owner not in (None, one[1]):
                    await self._transcripts.own(*one)  # or the row would go with the owner it has
                self._owned.pop(one, None)
            try:
                # it may have a row although it waits: the answer was lost
                await self._transcripts.delete(id_, owner=owner)
            except NotFound:
                if ended is None:
                    raise
            if ended is None:
                return
            left = [one for one in (ended.draft.owner, *ended.draft.others) if one != owner]
            if owner is None or not left:
                self._drop(id_)
                return
            draft = msgspec.structs.replace(ended.draft, owner=left[0], others=tuple(left[1:]))
            self._waiting[id_] = msgspec.structs.replace(ended, draft=draft)

    async def run(self) -> None:
        """Writes for as long as the gateway runs."""
        await behind.whenever(self._some, self._write_all)

    async def close(self, close_s: float = CLOSE_S) -> None:
        """Writes what is left, within a deadline; `run` has ended."""
        await behind.last(self._write_all, close_s)
        if self._waiting:
            log.error("transcripts are lost: the database did not take them", count=len(self._waiting))

    async def _write_all(self) -> None:
        """Raises StoreUnavailable; what was not written goes on waiting."""
        while self._waiting or self._owned:
            async with self._turn:
                for id_, ended in self._waiting.items():
                    await self._write(ended)
                    self._drop(id_)
                    break
                else:
                    for id_, owner in self._owned:  # once the rows are there
                        await self._own(id_, owner)
                        self._owned.pop((id_, owner), None)
                        break
        self._some.clear()

    async def _own(self, id_: str, owner: str) -> None:
        try:
            await self._transcripts.own(id_, owner)
        except StoreUnavailable:
            raise
        except Exception as failure:
            log.error("an owner is not kept", transcript=id_, exc_info=failure)

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
