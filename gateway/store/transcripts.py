"""Transcripts that outlive their request: written as they come, read, listed, put away.

Always: a row that is COMPLETE has all its segments and is never written again; segments go with their
transcript, and the index of texts with them, in the same transaction.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import NotFound
from gateway.store import paging
from gateway.store.accounts import ensured
from gateway.store.database import Database
from gateway.store.folding import fold
from gateway.store.paging import Page
from gateway.store.tables import ANYONE, segments, transcript_owners, transcripts
from gateway.wire.events import (
    Captions,
    End,
    Failed,
    Info,
    Logged,
    Reason,
    Segment,
    Source,
    Verdict,
    Word,
    line,
    text_of,
)

State = Literal["RUNNING", "COMPLETE", "FAILED"]

_ALIKE = 20  # transcripts of one post that are looked through for the one with some options
_AT_ONCE = 200  # rows that one transaction of a sweep removes: others want to write too


class Provenance(msgspec.Struct, frozen=True):
    """Where the sound comes from, as far as that is known."""

    url: str | None = None
    post_id: str | None = None
    sound_id: str | None = None
    media_sha256: str | None = None
    file_name: str | None = None


class Draft(msgspec.Struct, frozen=True):
    """What is known of a transcript before its first event."""

    id: str
    owner: str = ANYONE  # who asked first
    others: tuple[str, ...] = ()  # who asked for the same
    title: str | None = None
    provenance: Provenance = Provenance()
    options: dict[str, Any] | None = None
    created_at: datetime | None = None  # None: now


class Stored(msgspec.Struct, frozen=True):
    """A transcript without its segments. What is not known yet, or not at all, is None."""

    id: str
    owner: str
    state: State
    title: str | None
    provenance: Provenance
    source: Source | None
    captions: Captions | None
    language: str | None
    language_probability: float | None
    model: str | None
    options: dict[str, Any] | None
    duration_ms: int | None
    announced_ms: int | None  # the duration as its first event told it
    text: str | None  # in lists None
    text_sha256: str | None
    speech: Verdict | None
    reasons: tuple[Reason, ...]
    elapsed_ms: int | None
    error_code: str | None
    error_text: str | None
    created_at: datetime
    ended_at: datetime | None
    owners: frozenset[str] = frozenset()  # whoever has it; in lists not told


def new_id() -> str:
    """An id that nobody guesses."""
    return secrets.token_urlsafe(16)


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
        said = [_segment_row(id_, event) for event in events if isinstance(event, Segment)]
        if said:
            await tx.execute(segments.insert(), said)
        for event in events:
            match event:
                case Info():
                    await self._update(
                        tx, id_, source=event.source, captions=event.captions, language=event.language,
                        language_probability=event.language_probability, model=event.model,
                        duration_ms=_ms(event.duration), announced_ms=_ms(event.duration),
                    )  # fmt: skip
                case End():
                    said_all = await self._segments(tx, id_)
                    text = text_of(said_all)
                    await self._update(
                        tx, id_, state="COMPLETE", duration_ms=_ms(event.duration), speech=event.speech,
                        text=text, text_sha256=event.text_sha256, bytes=_bytes(text, said_all),
                        reasons=event.reasons, elapsed_ms=event.elapsed_ms,
                        ended_at=ended_at or self._database.now(),
                    )  # fmt: skip
                case Failed():
                    await self._update(
                        tx, id_, state="FAILED", error_code=event.code, error_text=event.message,
                        bytes=_bytes("", await self._segments(tx, id_)),
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
        return stored, (*_head(stored), *said, *_end(stored, len(said)))

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
        return Page(tuple(_stored(row) for row in rows[:limit]), more)

    async def _read(self, tx: AsyncConnection, id_: str, owner: str | None) -> Stored:
        row = (await tx.execute(sa.select(transcripts).where(_one(id_, owner)))).one_or_none()
        if row is None:
            raise NotFound("There is no such transcript.")
        owners = sa.select(transcript_owners.c.owner).where(transcript_owners.c.transcript_id == id_)
        return _stored(row, frozenset((await tx.execute(owners)).scalars()))

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self._database.name == "sqlite" else postgresql).insert(table)

    async def _own(self, tx: AsyncConnection, id_: str, owner: str) -> None:
        insert = self._insert(transcript_owners).values(owner=owner, transcript_id=id_)
        await tx.execute(insert.on_conflict_do_nothing(index_elements=["owner", "transcript_id"]))

    @staticmethod
    async def _segments(tx: AsyncConnection, id_: str) -> list[Segment]:
        query = sa.select(segments).where(segments.c.transcript_id == id_).order_by(segments.c.number)
        return [_segment(row) for row in await tx.execute(query)]

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


def _bytes(text: str, said: Sequence[Segment]) -> int:
    """About what a transcript takes: its text, and its segments as lines."""
    return len(text.encode("utf-8", "ignore")) + sum(len(line(segment)) for segment in said)


def _stored(row: sa.Row[Any], owners: frozenset[str] = frozenset()) -> Stored:
    named = dict(row._mapping)
    del named["bytes"]
    provenance = Provenance(**{name: named.pop(name) for name in Provenance.__struct_fields__})
    return Stored(
        **named | {"provenance": provenance, "reasons": tuple(named["reasons"] or ()), "owners": owners}
    )


def _head(stored: Stored) -> list[Info]:
    if stored.source is None:
        return []
    return [
        Info(
            id=stored.id,
            language=stored.language,
            language_probability=stored.language_probability,
            duration=_s(stored.announced_ms),
            model=stored.model,
            source=stored.source,
            captions=stored.captions,
        )
    ]


def _end(stored: Stored, count: int) -> list[End | Failed]:
    match stored.state:
        case "COMPLETE":
            assert stored.duration_ms is not None
            assert stored.text_sha256 is not None
            assert stored.elapsed_ms is not None
            assert stored.speech is not None
            end = End(count, stored.duration_ms / 1000, stored.text_sha256, stored.elapsed_ms, stored.speech)
            return [msgspec.structs.replace(end, reasons=stored.reasons)]
        case "FAILED":
            return [Failed(stored.error_code or "", stored.error_text or "")]
        case "RUNNING":
            return []


def _segment_row(transcript_id: str, segment: Segment) -> dict[str, Any]:
    return {
        "transcript_id": transcript_id,
        "number": segment.id,
        "start_ms": _ms(segment.start),
        "end_ms": _ms(segment.end),
        "text": segment.text,
        "folded": fold(segment.text),
        "avg_logprob": segment.avg_logprob,
        "no_speech_prob": segment.no_speech_prob,
        "compression_ratio": segment.compression_ratio,
        "words": None if segment.words is None else [msgspec.structs.asdict(word) for word in segment.words],
    }


def _segment(row: sa.Row[Any]) -> Segment:
    return Segment(
        id=row.number,
        start=row.start_ms / 1000,
        end=row.end_ms / 1000,
        text=row.text,
        avg_logprob=row.avg_logprob,
        no_speech_prob=row.no_speech_prob,
        compression_ratio=row.compression_ratio,
        words=None if row.words is None else msgspec.convert(row.words, tuple[Word, ...]),
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _s(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
