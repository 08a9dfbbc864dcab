"""What was counted, by several gateways and over restarts, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.totals import Totals


@pytest.fixture
async def other(url: str) -> AsyncIterator[Database]:
    """The same database, of another gateway."""
    database = Database(url)
    yield database
    await database.close()


async def test_counts_are_there_before_and_after_they_are_written(database: Database) -> None:
    totals = Totals(database)
    totals.add({"extractions": 1, "ms": 250})
    totals.add({"extractions": 1, "ms": 100, "error VIDEO_PRIVATE": 1})
    counted = {"extractions": 2, "ms": 350, "error VIDEO_PRIVATE": 1}
    assert await totals.read() == counted
    await totals.write()
    assert await totals.read() == counted
    await totals.write()
    assert await Totals(database).read() == counted


async def test_gateways_add_to_the_same(database: Database, other: Database) -> None:
    here, there = Totals(database), Totals(other)
    for _ in range(5):
        here.add({"a": 1, "b": 2})
        there.add({"b": 3, "a": 1})
        await asyncio.gather(here.write(), there.write())
    here.add({"a": 1})
    assert await here.read() == {"a": 11, "b": 25}
    assert await there.read() == {"a": 10, "b": 25}
    assert here.since_start == {"a": 6, "b": 10}


async def test_what_is_counted_during_a_write_is_not_lost(database: Database) -> None:
    totals = Totals(database)
    totals.add({"a": 1})
    writing = asyncio.create_task(totals.write())
    for _ in range(20):
        totals.add({"a": 1})
        await asyncio.sleep(0)
    await writing
    await totals.close()
    assert await Totals(database).read() == {"a": 21}


async def test_a_database_that_is_away_leaves_what_was_counted_here(database: Database) -> None:
    before = Totals(database)
    before.add({"a": 5})
    await before.write()
    totals = Totals(database)
    totals.add({"a": 1})
    database.ready = False
    with pytest.raises(StoreUnavailable):
        await totals.write()
    assert await totals.read() == {"a": 1}
    await totals.close()  # says so, and does not wait
    database.ready = True
    await totals.write()
    assert await totals.read() == {"a": 6}


async def test_nothing_is_written_where_nothing_was_counted(database: Database) -> None:
    totals = Totals(database)
    await totals.write()
    assert await totals.read() == {}
