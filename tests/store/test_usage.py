"""What accounts use: counted at once, written behind, and stopped where it runs out."""

import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from gateway.errors import QuotaExceeded, StoreUnavailable
from gateway.store.accounts import Account, Quota
from gateway.store.database import Database
from gateway.store.stored import Draft
from gateway.store.tables import ANYONE, usage
from gateway.store.transcripts import Transcripts
from gateway.store.usage import KEPT_S, Usage, Used
from tests.store.making import save

NOVEMBER = datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOVEMBER

    def __call__(self) -> datetime:
        return self.now


def alice(**quota: float) -> Account:
    return Account("alice", "alice", frozenset(), quota=Quota(**quota))  # type: ignore[arg-type]


async def rows(database: Database) -> set[tuple[str, str, int, int]]:
    async with database.reading() as tx:
        return {tuple(row) for row in await tx.execute(sa.select(usage))}  # type: ignore[misc]


async def test_it_counts_before_it_is_written_and_after(database: Database) -> None:
    clock = Clock()
    counts = Usage(database, now=clock)
    counts.sent("alice", 1000)
    counts.heard("alice", 1.5)
    counts.sent("alice", 24)
    counts.sent("bob", 0)
    assert await counts.used("alice") == Used(1024, 1500)
    assert await rows(database) == set()
    await counts.write()
    await counts.write()
    counts.sent("alice", 1)
    assert await counts.used("alice") == Used(1025, 1500)
    assert await rows(database) == {("alice", "2026-11", 1024, 1500)}
    await counts.close()
    assert await Usage(database, now=clock).used("alice") == Used(1025, 1500)


async def test_what_several_gateways_count_adds_up(database: Database) -> None:
    several = [Usage(database) for _ in range(4)]
    for number, one in enumerate(several):
        for account in ("alice", "bob"):
            one.sent(account, 10**number)
    await asyncio.gather(*(one.write() for one in several))
    assert {row[2] for row in await rows(database)} == {1111}


async def test_a_month_knows_nothing_of_the_one_before(database: Database) -> None:
    clock = Clock()
    counts = Usage(database, now=clock)
    counts.sent("alice", 10)
    with pytest.raises(QuotaExceeded) as over:
        await counts.check(alice(month_bytes_max=10), speech=False)
    assert over.value.retry_after_s == 30
    clock.now = DECEMBER
    await counts.check(alice(month_bytes_max=10), speech=False)
    counts.sent("alice", 10)
    with pytest.raises(QuotaExceeded) as over:
        await counts.check(alice(month_bytes_max=10), speech=False)
    assert over.value.retry_after_s == 1
    await counts.write()
    assert {row[1] for row in await rows(database)} == {"2026-11", "2026-12"}


async def test_each_quota_stops_what_it_is_for(database: Database) -> None:
    counts = Usage(database)
    counts.sent("alice", 10)
    counts.heard("alice", 2)
    await save(database, Draft("t", owner="alice"), *["a red kite"] * 10)
    await counts.check(alice(month_bytes_max=11, month_audio_s_max=2.1, stored_bytes_max=10**6), speech=True)
    await counts.check(alice(month_audio_s_max=2, stored_bytes_max=1), speech=False)
    for quota in ({"month_bytes_max": 10}, {"month_audio_s_max": 2}, {"stored_bytes_max": 1000}):
        with pytest.raises(QuotaExceeded):
            await counts.check(alice(**quota), speech=True)
    await counts.check(alice(), speech=True)


async def test_what_is_stored_is_what_is_there(database: Database) -> None:
    now_s = 0.0
    counts = Usage(database, clock=lambda: now_s)
    await save(database, Draft("t", owner="alice", others=("bob",)), *["a red kite"] * 10)
    mine = (await counts.used("alice")).stored_bytes
    assert 10 * len("a red kite ") < mine < 4000
    assert (await counts.used("bob")).stored_bytes == mine
    await Transcripts(database).delete("t", owner="alice")
    now_s += KEPT_S
    assert (await counts.used("alice")).stored_bytes == 0
    assert (await counts.used("bob")).stored_bytes == mine


async def test_the_settings_say_what_rows_do_not(database: Database) -> None:
    counts = Usage(database, Quota(month_bytes_max=10))
    for account in ("alice", ANYONE):
        counts.sent(account, 10)
    with pytest.raises(QuotaExceeded):
        await counts.check(alice(), speech=False)
    await counts.check(alice(month_bytes_max=20), speech=False)
    # all strangers are one account: one of them must not use up what all have, unless that is said
    stranger = Account(ANYONE, ANYONE, frozenset())
    await counts.check(stranger, speech=False)
    with pytest.raises(QuotaExceeded):
        await counts.check(Account(ANYONE, ANYONE, frozenset(), quota=Quota(month_bytes_max=1)), speech=False)


async def test_with_the_database_away_it_goes_on_counting(database: Database) -> None:
    counts = Usage(database)
    counts.sent("alice", 10)
    await counts.write()
    counts.sent("alice", 5)
    database.ready = False
    with pytest.raises(StoreUnavailable):
        await counts.write()
    assert (await counts.used("alice")).bytes_out >= 5
    with pytest.raises(QuotaExceeded):
        await counts.check(alice(month_bytes_max=5), speech=False)
    database.ready = True
    await counts.write()
    assert {row[2] for row in await rows(database)} == {15}
