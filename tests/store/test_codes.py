from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import BadRequest, CodeRevoked, CodeUsed, HoldLost, NotFound
from gateway.store import lettering
from gateway.store.codes import COUNT_MAX, Change, Codes, Credit, Issued
from gateway.store.database import Database
from gateway.store.holds import Hold, Holds
from gateway.store.stored import Draft
from gateway.store.tables import codes as table
from gateway.store.tables import holds as ledger
from gateway.store.transcripts import Transcripts
from tests.store.making import said

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def codes(database: Database) -> Codes:
    return Codes(database)


@pytest.fixture
def holds(database: Database) -> Holds:
    return Holds(database)


@pytest.fixture
async def issued(codes: Codes) -> Issued:
    (one,) = await codes.issue(1, seconds=60)
    return one


async def spend(database: Database, holds: Holds, code: str, *, ms: int = 4000) -> Hold:
    hold = await holds.hold(code)
    await holds.price(hold, ms)
    async with database.transaction() as tx:
        await Transcripts(database).save(tx, Draft("t"), said("a", "b"))
        await holds.post(tx, hold, "t")
    return hold


async def test_codes_are_issued_and_only_their_hashes_kept(codes: Codes, database: Database) -> None:
    made = await codes.issue(3, seconds=3600.5, expires_at=TOMORROW)
    assert len({one.code for one in made}) == len({one.id for one in made}) == 3
    async with database.reading() as tx:
        rows = (await tx.execute(sa.select(table))).all()
    assert {row.hash for row in rows} == {lettering.hashed(one.code) for one in made}
    for one in made:
        assert one.code not in repr(rows)
        assert one.code.replace("-", "") not in repr(rows)
        found = await codes.get(one.id)
        assert found.credit == Credit(3600.5, 0, 0, "active")
        assert found.expires_at == TOMORROW
        assert abs((found.created_at - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 1), (COUNT_MAX + 1, 1), (1, -1), (1, 1e300), (1, float("nan"))]
)
async def test_what_makes_no_sense_is_refused(codes: Codes, count: int, seconds: float) -> None:
    with pytest.raises(BadRequest):
        await codes.issue(count, seconds=seconds)


async def test_the_credit_follows_the_hold(
    codes: Codes, holds: Holds, issued: Issued, database: Database
) -> None:
    async def credit() -> Credit:
        return (await codes.get(issued.id)).credit

    assert await credit() == Credit(60, 0, 0, "active")
    hold = await holds.hold(issued.code)
    assert await credit() == Credit(0, 60, 0, "held")  # all of it, as nobody knows the price yet
    await holds.price(hold, 12_345)
    assert await credit() == Credit(0, 12.345, 0, "held")
    await holds.void(hold)
    assert await credit() == Credit(60, 0, 0, "active")
    await spend(database, holds, issued.code, ms=12_345)
    assert await credit() == Credit(0, 0, 12.345, "used")


async def test_a_change_changes_what_it_names(codes: Codes, issued: Issued) -> None:
    assert (await codes.patch(issued.id, Change(seconds=90))).seconds == 90
    assert (await codes.patch(issued.id, Change(expires_at=YESTERDAY))).credit.state == "expired"
    assert (await codes.patch(issued.id, Change(revoked=True))).credit == Credit(0, 0, 0, "revoked")
    assert (await codes.patch(issued.id, Change())).credit.state == "revoked"
    assert (await codes.patch(issued.id, Change(revoked=False, expires_at=None))).credit == Credit(
        90, 0, 0, "active"
    )


async def test_revoking_takes_the_code_from_who_holds_it(
    codes: Codes, holds: Holds, issued: Issued, database: Database
) -> None:
    hold = await holds.hold(issued.code)
    assert (await codes.patch(issued.id, Change(revoked=True))).credit.state == "revoked"
    with pytest.raises(CodeRevoked):
        await holds.renew(hold)
    with pytest.raises(CodeRevoked):
        async with database.transaction() as tx:
            await Transcripts(database).save(tx, Draft("t"), said("a"))
            await holds.post(tx, hold, "t")
    with pytest.raises(NotFound):
        await Transcripts(database).read("t")
    await codes.patch(issued.id, Change(revoked=False))
    with pytest.raises(HoldLost):  # the code is back, the hold is not
        await holds.renew(hold)
    assert not await holds.void(hold)
    async with database.reading() as tx:
        assert (await tx.execute(sa.select(ledger.c.state))).scalars().all() == ["VOIDED"]


async def test_a_spent_code_does_not_change(
    codes: Codes, holds: Holds, issued: Issued, database: Database
) -> None:
    await spend(database, holds, issued.code)
    for change in (Change(seconds=1), Change(expires_at=None), Change(revoked=True), Change(revoked=False)):
        with pytest.raises(CodeUsed):
            await codes.patch(issued.id, change)
    assert (await codes.get(issued.id)).credit == Credit(0, 0, 4, "used")


async def test_a_code_can_be_forgotten_and_what_it_paid_for_stays(
    codes: Codes, holds: Holds, issued: Issued, database: Database
) -> None:
    await spend(database, holds, issued.code)
    await codes.delete(issued.id)
    assert (await Transcripts(database).read("t")).state == "COMPLETE"
    for again in (codes.delete(issued.id), codes.get(issued.id), codes.patch(issued.id, Change(seconds=1))):
        with pytest.raises(NotFound):
            await again


async def test_a_transcript_can_be_removed_and_its_code_stays_spent(
    codes: Codes, holds: Holds, issued: Issued, database: Database
) -> None:
    await spend(database, holds, issued.code)
    await Transcripts(database).delete("t")
    assert (await codes.get(issued.id)).credit.state == "used"
    with pytest.raises(CodeUsed):
        await holds.hold(issued.code)


async def test_they_are_listed_in_pages_newest_first(codes: Codes) -> None:
    made = [one.id for _ in range(5) for one in await codes.issue(3, seconds=1)]
    seen, after = [], None
    while True:
        page = await codes.page(after=after, limit=4)
        assert len(page.items) <= 4
        seen += page.items
        after = page.next
        if after is None:
            break
        await codes.issue(1, seconds=1)  # what comes meanwhile is before, and moves nothing
    assert {one.id for one in seen} == set(made)
    assert len(seen) == len(made)
    assert [one.created_at for one in seen] == sorted((one.created_at for one in seen), reverse=True)
