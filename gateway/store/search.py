"""Finding what was said: segments with all the terms of a query, and when they are heard.

Always: both databases find the same. A term is found wherever it stands in the folded text, as a whole
word or not; the index only makes that fast.
"""

from typing import Any

import msgspec
import sqlalchemy as sa

from gateway.store import folding, paging
from gateway.store.database import Database
from gateway.store.paging import Page, Place
from gateway.store.tables import INDEX, segments, transcripts
from gateway.store.transcripts import of

TRIGRAM = 3  # characters; shorter terms are in no index, and texts are read through for them

index = sa.table(INDEX, sa.column("rowid"), sa.column(INDEX))  # SQLite's


class Hit(msgspec.Struct, frozen=True):
    """A segment of a transcript; times from the start of its sound."""

    transcript_id: str
    title: str | None
    number: int
    start_ms: int
    end_ms: int
    text: str


class Search:
    """The texts of all transcripts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, query: str, *, owner: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[Hit]:
        """The segments with all terms of a query: of the newest transcript first, in the order of its sound.

        Nothing that is asked for is wrong; what has no terms finds nothing. `owner` None: of everybody.
        """
        place, limit = paging.place(after), paging.limited(limit)
        terms = folding.terms(query)
        if not terms:
            return Page((), None)
        found = (
            sa.select(segments, transcripts.c.title, transcripts.c.created_at)
            .join(transcripts, segments.c.transcript_id == transcripts.c.id)
            .where(*self._contains(terms))
            .order_by(transcripts.c.created_at.desc(), transcripts.c.id.desc(), segments.c.number)
        )
        if owner is not None:
            found = found.where(of(owner))
        if place is not None:
            same = sa.and_(transcripts.c.id == place.id, segments.c.number > place.number)
            found = found.where(sa.or_(paging.behind(transcripts, place), same))
        async with self._database.reading() as tx:
            rows = (await tx.execute(found.limit(limit + 1))).all()
        return Page(
            tuple(_hit(row) for row in rows[:limit]), _next(rows[limit - 1]) if rows[limit:] else None
        )

    def _contains(self, terms: list[str]) -> list[sa.ColumnElement[bool]]:
        if self._database.name != "sqlite":
            return [segments.c.folded.contains(term, autoescape=True) for term in terms]
        long = [term for term in terms if len(term) >= TRIGRAM]
        found = [segments.c.folded.contains(term, autoescape=True) for term in terms if len(term) < TRIGRAM]
        if long:
            match = " AND ".join(f'"{term}"' for term in long)  # a term has no quotes
            rows = sa.select(index.c.rowid).where(index.c[INDEX].op("MATCH")(match))
            found.append(segments.c.id.in_(rows))
        return found


def _next(last: sa.Row[Any]) -> str:
    return paging.token(Place(last.created_at, last.transcript_id, last.number))


def _hit(row: sa.Row[Any]) -> Hit:
    return Hit(row.transcript_id, row.title, row.number, row.start_ms, row.end_ms, row.text)
