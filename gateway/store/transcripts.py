"""Transcripts that outlive their request: written as they come, read, listed, put away.

Always: a row that is COMPLETE has all its segments and is never written again; segments go with their
transcript, and the index of texts with them, in the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import NotFound
from gateway.store import paging
from gateway.store.accounts import ensured
from gateway.store.database import Database
from gateway.store.paging import Page
from gateway.store.stored import Draft, Stored, bytes_of, end_of, head_of, ms, row_of, segment_of, stored_of
from gateway.store.tables import segments, transcript_owners, transcripts
from gateway.wire.events import End, Failed, Info, Logged, Segment, text_of

_ALIKE = 20  # transcripts of one post that are looked through for the one with some options
_AT_ONCE = 200  # rows that one transaction of a sweep removes: others want to write too


class Transcripts:
    """The transcripts in the database. `owner` None, where one is asked for, is everybody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # written

    async def begin(self, tx: AsyncConnection, draft: Draft) -> bool:
        """Makes the row of a running transcript, anew where an earlier try left one.

        False: it is complete already, and stays as it is.
        """
        blank = {column.name: None for column in transcripts.columns}
        row = blank | {
            "id": draft.id, "owner": draft.owner, "state": "RUNNING", "title": draft.title,
            "options": draft.options, "created_at": draft.created_at or self._database.now(),
            **msgspec.structs.asdict(draft.provenance),
        }  # fmt: skip
        owners = {draft.owner, *draft.others}
        await ensured(tx, self._database, sorted(owners))
        insert = self._insert(transcripts).values(row)
        upsert = insert.on_conflict_do_update(
            index_elements=["id"],
            set_={name: insert.excluded[name] for name in row if name not in ("id", "created_at")},
            where=transcripts.c.state != "COMPLETE",
        ).returning(transcripts.c.id)
        if (await tx.execute(upsert)).one_or_none() is None:
            return False
        await tx.execute(segments.delete().where(segments.c.transcript_id == draft.id))
        for owner in sorted(owners):
            await self._own(tx, draft.id, owner)
        return True

    async def append(
        self, tx: AsyncConnection, id_: str, events: Sequence[Logged], *, ended_at: datetime | None = None
    ) -> bool:
        """Writes what came of a running transcript, in the order of its log; where it ended, then or now.

        False: it is not running, or was deleted meanwhile, and nothing is written.
        """
        running = sa.select(transcripts.c.id).where(transcripts.c.id == id_, transcripts.c.state == "RUNNING")
        if (await tx.execute(running.with_for_update())).one_or_none() is None:
            return False
        said = [row_of(id_, event) for event in events if isinstance(event, Segment)]
        if said:
            await tx.execute(segments.insert(), said)
        for event in events:
            match event:
                case Info():
                    await self._update(
                        tx, id_, source=event.source, captions=event.captions, language=event.language,
                        language_probability=event.language_probability, model=event.model,
                        duration_ms=ms(event.duration), announced_ms=ms(event.duration),
                    )  # fmt: skip
                case End():
                    said_all = await self._segments(tx, id_)
                    text = text_of(said_all)
                    await self._update(
                        tx, id_, state="COMPLETE", duration_ms=ms(event.duration), speech=event.speech,
                        text=text, text_sha256=event.text_sha256, bytes=bytes_of(text, said_all),
                        reasons=event.reasons, elapsed_ms=event.elapsed_ms,
                        ended_at=ended_at or self._database.now(),
                    )  # fmt: skip
                case Failed():
                    await self._update(
                        tx, id_, state="FAILED", error_code=event.code, error_text=event.message,
                        bytes=bytes_of("", await self._segments(tx, id_)),
                        ended_at=ended_at or self._database.now(),
                    )  # fmt: skip
        return True

    async def save(
        self, tx: AsyncConnection, draft: Draft, events: Sequence[Logged], *, ended_at: datetime | None = None
    ) -> bool:
        """Keeps a transcript at once, with all that is known of it. False: it is complete already."""
        return await self.begin(tx, draft) and await self.append(tx, draft.id, events, ended_at=ended_at)

    async def rename(self, id_: str, title: str | None, *, owner: str | None = None) -> None:
        """Gives a transcript another title, or none. Raises NotFound."""
        async with self._database.transaction() as tx:
            if not (
                await tx.execute(transcripts.update().where(_one(id_, owner)).values(title=title))
            ).rowcount:
                raise NotFound("There is no such transcript.")

    async def own(self, id_: str, owner: str) -> None:
        """Gives a transcript one owner more, if it is there."""
        async with self._database.transaction() as tx:
            if (await tx.execute(_locked(id_, None))).one_or_none() is not None:
                await ensured(tx, self._database, [owner])
                await self._own(tx, id_, owner)

    async def delete(self, id_: str, *, owner: str | None = None) -> None:
        """Removes a transcript with its segments; of an `owner`, where others have it, only from his.

        Raises NotFound.
        """
        async with self._database.transaction() as tx:
            if (await tx.execute(_locked(id_, owner))).one_or_none() is None:
                raise NotFound("There is no such transcript.")
            if owner is not None:
                of_id = transcript_owners.c.transcript_id == id_
                await tx.execute(transcript_owners.delete().where(of_id, transcript_owners.c.owner == owner))
                left = sa.select(transcript_owners.c.owner).where(of_id).limit(1)
                if (await tx.execute(left)).first() is not None:
                    return
            await tx.execute(transcripts.delete().where(transcripts.c.id == id_))

    async def sweep(self, keep_s: float) -> int:
        """Removes transcripts that were begun longer ago than that, whatever became of them; how many."""
        found = 0
        old = sa.select(transcripts.c.id).where(transcripts.c.created_at < self._database.now(-keep_s))
        some = old.order_by(transcripts.c.created_at).limit(_AT_ONCE)
        while True:
            async with self._database.transaction() as tx:
                ids = list((await tx.execute(some)).scalars())
                await tx.execute(transcripts.delete().where(transcripts.c.id.in_(ids)))
            found += len(ids)
            if len(ids) < _AT_ONCE:
                return found

    # read

    async def read(self, id_: str, *, owner: str | None = None) -> Stored:
        """A transcript. Raises NotFound."""
        async with self._database.reading() as tx:
            return await self._read(tx, id_, owner)

    async def heard(
        self, post_id: str, options: dict[str, Any], model: str
    ) -> tuple[Stored, tuple[Logged, ...]] | None:
        """The newest whole transcript of what a model heard in a post, by these options, with its log."""
        same = sa.and_(
            transcripts.c.post_id == post_id,
            transcripts.c.state == "COMPLETE",
            transcripts.c.source == "speech",
            transcripts.c.model == model,
        )
        newest = sa.select(transcripts.c.id, transcripts.c.options).where(same)
        async with self._database.reading() as tx:
            rows = (await tx.execute(newest.order_by(transcripts.c.created_at.desc()).limit(_ALIKE))).all()
        found = next((row.id for row in rows if row.options == options), None)
        try:
            return None if found is None else await self.whole(found)
        except NotFound:  # removed in this moment
            return None

    async def segments(self, id_: str, *, owner: str | None = None) -> tuple[Segment, ...]:
        """Its segments. Raises NotFound."""
        async with self._database.reading() as tx:
            await self._read(tx, id_, owner)
            return tuple(await self._segments(tx, id_))

    async def events(self, id_: str, *, owner: str | None = None) -> tuple[Logged, ...]:
        """Its log, as far as it was written. Raises NotFound."""
        _, log = await self.whole(id_, owner=owner)
        return log

    async def whole(self, id_: str, *, owner: str | None = None) -> tuple[Stored, tuple[Logged, ...]]:
        """A transcript with its log, of one moment. Raises NotFound."""
        async with self._database.reading() as tx:
            stored = await self._read(tx, id_, owner)
            said = await self._segments(tx, id_)
        return stored, (*head_of(stored), *said, *end_of(stored, len(said)))

    async def page(
        self, *, owner: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[Stored]:
        """The transcripts, newest first, from `after` on, which is the `next` of the page before."""
        place, limit = paging.place(after), paging.limited(limit)
        columns = [column for column in transcripts.columns if column.name != "text"]
        query = sa.select(*columns, sa.null().label("text")).order_by(
            transcripts.c.created_at.desc(), transcripts.c.id.desc()
        )
        if owner is not None:
            query = query.where(of(owner))
        if place is not None:
            query = query.where(paging.behind(transcripts, place))
        async with self._database.reading() as tx:
            rows = (await tx.execute(query.limit(limit + 1))).all()
        more = paging.following(rows[limit - 1]) if rows[limit:] else None
        return Page(tuple(stored_of(row) for row in rows[:limit]), more)

    async def _read(self, tx: AsyncConnection, id_: str, owner: str | None) -> Stored:
        row = (await tx.execute(sa.select(transcripts).where(_one(id_, owner)))).one_or_none()
        if row is None:
            raise NotFound("There is no such transcript.")
        owners = sa.select(transcript_owners.c.owner).where(transcript_owners.c.transcript_id == id_)
        return stored_of(row, frozenset((await tx.execute(owners)).scalars()))

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self._database.name == "sqlite" else postgresql).insert(table)

    async def _own(self, tx: AsyncConnection, id_: str, owner: str) -> None:
        insert = self._insert(transcript_owners).values(owner=owner, transcript_id=id_)
        await tx.execute(insert.on_conflict_do_nothing(index_elements=["owner", "transcript_id"]))

    @staticmethod
    async def _segments(tx: AsyncConnection, id_: str) -> list[Segment]:
        query = sa.select(segments).where(segments.c.transcript_id == id_).order_by(segments.c.number)
        return [segment_of(row) for row in await tx.execute(query)]

    @staticmethod
    async def _update(tx: AsyncConnection, id_: str, **values: Any) -> None:
        await tx.execute(transcripts.update().where(transcripts.c.id == id_).values(values))


def of(owner: str) -> sa.ColumnElement[bool]:
    """Whether an account has a transcript."""
    same = transcript_owners.c.transcript_id == transcripts.c.id
    return sa.exists().where(same, transcript_owners.c.owner == owner)


def _one(id_: str, owner: str | None) -> sa.ColumnElement[bool]:
    found = transcripts.c.id == id_
    return found if owner is None else sa.and_(found, of(owner))


def _locked(id_: str, owner: str | None) -> sa.Select[Any]:
    """A row that nobody else gives or takes away meanwhile."""
    return sa.select(transcripts.c.id).where(_one(id_, owner)).with_for_update()
