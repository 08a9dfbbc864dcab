"""Transcripts as the speech side would hand them over, accounts, and time going by."""

import hashlib
from datetime import timedelta

import sqlalchemy as sa

from gateway.store.database import Database
from gateway.store.stored import Draft
from gateway.store.tables import accounts, codes, jobs, transcripts
from gateway.store.transcripts import Transcripts
from gateway.wire.events import End, Info, Logged, Segment, Word, text_of


def said(*texts: str, id_: str = "t", language: str | None = "en", words: bool = False) -> list[Logged]:
    """The log of a transcript with these segments, two seconds each."""
    segments = [
        Segment(
            number, number * 2.0, number * 2.0 + 1.5, text,
            avg_logprob=-0.25, no_speech_prob=0.125, compression_ratio=1.5,
            words=(Word(number * 2.0, number * 2.0 + 0.5, text, 0.75),) if words else None,
        )
        for number, text in enumerate(texts)
    ]  # fmt: skip
    duration = 2.0 * len(texts)
    sha256 = hashlib.sha256(text_of(segments).encode()).hexdigest()
    info = Info(id_, language, 0.9, duration, "base", "speech")
    return [info, *segments, End(len(segments), duration, sha256, 1234, "ok")]


async def save(database: Database, draft: Draft, *texts: str, words: bool = False) -> bool:
    """Keeps a whole transcript with these segments."""
    async with database.transaction() as tx:
        return await Transcripts(database).save(tx, draft, said(*texts, id_=draft.id, words=words))


async def account(database: Database, id_: str) -> str:
    """An account, by its id."""
    async with database.transaction() as tx:
        row = {"id": id_, "name": id_, "kind": "test", "created_at": database.now()}
        await tx.execute(accounts.insert().values(row))
    return id_


async def in_step(database: Database) -> None:
    """SQLite compares its index of texts with the texts; PostgreSQL's cannot be out of step."""
    if database.name == "sqlite":
        async with database.transaction() as tx:
            await tx.exec_driver_sql("INSERT INTO segments_index (segments_index) VALUES ('integrity-check')")


async def lapse(database: Database) -> None:
    """Lets time go by for all leases: whoever had one did not renew it."""
    async with database.transaction() as tx:
        for table in (codes, jobs):
            had = table.update().where(table.c.lease_until.is_not(None))
            await tx.execute(had.values(lease_until=database.now(-1)))


async def age(database: Database, transcript_id: str, days: int) -> None:
    """Makes a transcript older."""
    async with database.transaction() as tx:
        row = sa.select(transcripts.c.created_at).where(transcripts.c.id == transcript_id)
        at = (await tx.execute(row)).scalar_one() - timedelta(days=days)
        await tx.execute(transcripts.update().where(transcripts.c.id == transcript_id).values(created_at=at))
