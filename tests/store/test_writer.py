import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.errors import NotFound
from gateway.store.database import Database
from gateway.store.stored import Draft
from gateway.store.transcripts import Transcripts
from gateway.store.writer import Ended, Writer
from gateway.wire.events import Segment
from tests.store.making import said

THEN = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
SOON = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)


def ended(id_: str, *texts: str) -> Ended:
    return Ended(Draft(id_, title="As it was", created_at=THEN), said(*texts or ("Hi",), id_=id_), SOON)


@pytest.fixture
def transcripts(database: Database) -> Transcripts:
    return Transcripts(database)


@asynccontextmanager
async def writing(writer: Writer) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def empty(writer: Writer) -> None:
    async with asyncio.timeout(20):
        while len(writer):
            await asyncio.sleep(0.01)


async def test_what_ended_is_written_with_its_times(database: Database, transcripts: Transcripts) -> None:
    writer = Writer(database, transcripts)
    async with writing(writer):
        for number in range(5):
            writer.put(ended(f"t{number}"))
        await empty(writer)
        assert {one.id for one in (await transcripts.page()).items} == {f"t{number}" for number in range(5)}
        assert await transcripts.events("t3") == tuple(said("Hi", id_="t3"))
        stored = await transcripts.read("t3")
        assert (stored.created_at, stored.ended_at, stored.state) == (THEN, SOON, "COMPLETE")
        writer.put(ended("t3", "never twice"))
        await empty(writer)
        assert (await transcripts.read("t3")).text == "Hi"


async def test_a_row_is_renamed_and_removed_before_it_is_there_and_after(
    database: Database, transcripts: Transcripts
) -> None:
    writer = Writer(database, transcripts)
    for id_ in ("kept", "gone"):
        writer.put(ended(id_))
    await writer.rename("kept", "Before")
    await writer.delete("gone")
    for id_ in ("gone", "unknown"):
        assert writer.waiting(id_) is None
        with pytest.raises(NotFound):
            await writer.delete(id_)
        with pytest.raises(NotFound):
            await writer.rename(id_, "never")
    async with writing(writer):
        await empty(writer)
    assert [(one.id, one.title) for one in (await transcripts.page()).items] == [("kept", "Before")]
    await writer.rename("kept", "After")
    assert (await transcripts.read("kept")).title == "After"
    await writer.delete("kept")
    assert not (await transcripts.page()).items


async def test_too_many_that_wait_are_dropped_and_told(database: Database, transcripts: Transcripts) -> None:
    one = ended("t0")
    writer = Writer(database, transcripts, bytes_max=3 * one.bytes)
    with capture_logs() as logs:
        for number in range(5):
            writer.put(ended(f"t{number}"))
    assert [line["transcript"] for line in logs] == ["t3", "t4"]
    await writer.close()
    assert len((await transcripts.page()).items) == 3
    writer.put(ended("t5"))  # there is room again
    await writer.close()
    assert len((await transcripts.page()).items) == 4


async def test_one_that_cannot_be_written_does_not_keep_the_others(
    database: Database, transcripts: Transcripts
) -> None:
    writer = Writer(database, transcripts)
    twice = Segment(0, 0.0, 1.0, "a number that is there already")
    writer.put(msgspec.structs.replace(ended("bad"), events=(*said("Hi", id_="bad"), twice, twice)))
    writer.put(ended("good"))
    with capture_logs() as logs:
        await writer.close()
    assert [(line["event"], line["transcript"]) for line in logs] == [("a transcript is not kept", "bad")]
    assert [one.id for one in (await transcripts.page()).items] == ["good"]


@pytest.fixture
def file(file: Path, tmp_path: Path) -> Path:
    """An SQLite file with tables."""
    copy = tmp_path / "locked.db"
    copy.write_bytes(file.read_bytes())
    return copy


async def test_a_database_that_is_away_is_tried_until_it_is_back(file: Path) -> None:
    database = Database(f"sqlite:///{file}", wait_s=0.05)
    writer = Writer(database, Transcripts(database))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with writing(writer):
        writer.put(ended("t"))
        async with asyncio.timeout(20):
            while not database.away:
                await asyncio.sleep(0.01)
        found = writer.waiting("t")
        assert found is not None
        assert found.draft.title == "As it was"
        other.rollback()
        await empty(writer)
    assert (await Transcripts(database).read("t")).state == "COMPLETE"
    other.close()
    await database.close()


@pytest.mark.parametrize("wait_s", [0.05, 3])
async def test_a_shutdown_waits_no_longer_than_it_may(file: Path, wait_s: float) -> None:
    database = Database(f"sqlite:///{file}", wait_s=wait_s)
    writer = Writer(database, Transcripts(database))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.put(ended("t"))
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            await writer.close(0.2)
    assert logs[-1]["event"] == "transcripts are lost: the database did not take them"
    assert logs[-1]["count"] == 1
    other.rollback()
    other.close()
    await database.close()
