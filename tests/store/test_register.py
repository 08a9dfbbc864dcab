import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.jobs import Jobs
from gateway.store.register import Entry, Register
from gateway.store.tables import jobs
from gateway.wire.events import Failed
from tests.store.making import lapse


@pytest.fixture
def register(database: Database) -> Register:
    return Register(database, "here")


def entry(id_: str) -> Entry:
    return Entry(id_, datetime.now(UTC), owner="somebody", payload={"url": f"https://host/{id_}"})


async def rows(database: Database) -> dict[str, Any]:
    async with database.reading() as tx:
        return {row.transcript_id: row for row in await tx.execute(sa.select(jobs))}


async def test_what_runs_and_how_it_ended_is_put_down(database: Database, register: Register) -> None:
    for id_ in ("runs", "late", "whole", "failed", "left"):
        register.begin(entry(id_))
    register.end("whole", "COMPLETE")
    register.end("failed", "FAILED", Failed("VIDEO_PRIVATE", "The post is private."))
    register.end("left", "CANCELLED")
    register.end("unknown", "COMPLETE")
    await register.close()
    register.end("late", "COMPLETE")
    assert len(register) == 1
    await register.close()
    found = await rows(database)
    states = {id_: row.state for id_, row in found.items()}
    assert states == {
        "runs": "RUNNING", "late": "COMPLETE", "whole": "COMPLETE", "failed": "FAILED", "left": "CANCELLED",
    }  # fmt: skip
    assert (found["failed"].error_code, found["failed"].payload) == (
        "VIDEO_PRIVATE", {"url": "https://host/failed"},
    )  # fmt: skip
    assert {id_ for id_, row in found.items() if row.lease_until is not None} == {"runs"}
    assert {id_ for id_, row in found.items() if row.ended_at is None} == {"runs"}
    assert await Jobs(database, "here").lease(["transcript"]) is None


async def test_one_statement_renews_them_all_and_a_dead_process_is_found_out(
    database: Database, register: Register
) -> None:
    dead, looking = Register(database, "dead"), Jobs(database, "looking")
    for one, id_ in ((register, "a"), (register, "b"), (dead, "c")):
        one.begin(entry(id_))
        await one.close()
    await lapse(database)
    async with database.transaction() as tx:
        await register._renew(tx)
    assert await looking.repair() == 1
    found = await looking.of("c")
    assert found is not None
    assert (found.state, found.error_code) == ("FAILED", "INTERRUPTED")
    assert await looking.repair(["here"]) == 2  # no lease is waited for


async def test_one_that_was_thought_dead_ends_as_it_ended(database: Database, register: Register) -> None:
    register.begin(entry("a"))
    await register.close()
    await lapse(database)
    await Jobs(database, "looking").repair()
    register.end("a", "COMPLETE")
    await register.close()
    row = (await rows(database))["a"]
    assert (row.state, row.error_code) == ("COMPLETE", None)


async def test_while_the_database_is_away_they_wait_and_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Register(database, "here", changes_max=3)
    whole: Callable[[], Any] = database.transaction
    register.begin(entry("before"))
    await register.close()

    def away() -> Any:
        raise StoreUnavailable

    monkeypatch.setattr(database, "transaction", away)
    register.end("before", "COMPLETE")
    for number in range(5):
        register.begin(entry(f"{number}"))
        await register.close()
    register.end("0", "CANCELLED")
    register.end("4", "COMPLETE")  # which was dropped
    assert len(register) == 3
    monkeypatch.setattr(database, "transaction", whole)
    await register.close()
    states = {id_: row.state for id_, row in (await rows(database)).items()}
    assert states == {"before": "COMPLETE", "0": "CANCELLED", "1": "RUNNING"}


async def test_it_writes_by_itself_and_stops_when_it_is_told(database: Database) -> None:
    register = Register(database, "here", lease_s=0.3)
    running = asyncio.ensure_future(register.run())
    register.begin(entry("a"))
    async with asyncio.timeout(10):
        while not await rows(database):
            await asyncio.sleep(0.01)
        first = (await rows(database))["a"].lease_until
        while (await rows(database))["a"].lease_until == first:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert not len(register)
