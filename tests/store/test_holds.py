from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import (
    CodeExpired,
    CodeHeld,
    CodeRevoked,
    CodeUnknown,
    CodeUsed,
    CreditTooSmall,
    GatewayError,
    HoldLost,
)
from gateway.store.codes import Change, Codes, Issued
from gateway.store.database import Database
from gateway.store.holds import Hold, Holds
from gateway.store.stored import Draft
from gateway.store.tables import holds as ledger
from gateway.store.transcripts import Transcripts
from tests.store.making import lapse, said

WORTH_S = 3600


@pytest.fixture
def codes(database: Database) -> Codes:
    return Codes(database)


@pytest.fixture
def holds(database: Database) -> Holds:
    return Holds(database)


@pytest.fixture
async def issued(codes: Codes) -> Issued:
    (one,) = await codes.issue(1, seconds=WORTH_S)
    return one


@pytest.fixture
def transcripts(database: Database) -> Transcripts:
    return Transcripts(database)


async def ends(database: Database) -> list[str]:
    """What became of every hold."""
    async with database.reading() as tx:
        query = sa.select(ledger.c.state, ledger.c.ended_at).order_by(ledger.c.created_at)
        rows = (await tx.execute(query)).all()
    assert all((state == "HELD") == (ended_at is None) for state, ended_at in rows)
    return [state for state, _ in rows]


async def test_a_code_pays_for_one_transcript(
    database: Database, holds: Holds, issued: Issued, transcripts: Transcripts
) -> None:
    hold = await holds.hold(issued.code.lower())
    assert hold.worth_ms == WORTH_S * 1000
    assert 30 < (hold.lease_until - datetime.now(UTC)).total_seconds() < 90
    assert await holds.price(hold, 4000) == 4000
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("a", "b"))
        assert await holds.post(tx, hold, "t") == 4000
    assert await ends(database) == ["POSTED"]
    with pytest.raises(CodeUsed):
        await holds.hold(issued.code)
    assert not await holds.void(hold)
    for late in (holds.renew(hold), holds.price(hold, 1)):
        with pytest.raises(CodeUsed):
            await late


@pytest.mark.parametrize("code", ["", "nonsense", "22222-33333-44444-55555-66666"])
async def test_an_unknown_code_is_401(holds: Holds, code: str) -> None:
    with pytest.raises(CodeUnknown) as caught:
        await holds.hold(code)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("state", "error"),
    [("held", CodeHeld), ("used", CodeUsed), ("revoked", CodeRevoked), ("expired", CodeExpired)],
)
async def test_a_code_that_cannot_be_had_says_why_with_409(
    state: str,
    error: type[GatewayError],
    database: Database,
    codes: Codes,
    holds: Holds,
    issued: Issued,
    transcripts: Transcripts,
) -> None:
    match state:
        case "held":
            await holds.hold(issued.code)
        case "used":
            hold = await holds.hold(issued.code)
            async with database.transaction() as tx:
                await transcripts.save(tx, Draft("t"), said("a"))
                await holds.post(tx, hold, "t")
        case "revoked":
            await codes.patch(issued.id, Change(revoked=True))
        case "expired":
            await codes.patch(issued.id, Change(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert (await codes.get(issued.id)).credit.state == state
    with pytest.raises(error) as caught:
        await holds.hold(issued.code)
    assert caught.value.status == 409


async def test_a_failure_costs_nothing(database: Database, holds: Holds, issued: Issued) -> None:
    for _ in range(3):
        hold = await holds.hold(issued.code)
        assert await holds.void(hold)
        assert not await holds.void(hold)
    with pytest.raises(HoldLost) as caught:
        await holds.renew(hold)
    assert caught.value.status == 409
    assert await ends(database) == ["VOIDED"] * 3


@pytest.mark.parametrize(("ms", "price"), [(0, 0), (1, 1), (3_600_000, 3_600_000), (3_601_000, 3_600_000)])
async def test_a_second_of_padding_is_forgiven_and_not_charged(
    holds: Holds, issued: Issued, ms: int, price: int
) -> None:
    assert await holds.price(await holds.hold(issued.code), ms) == price


@pytest.mark.parametrize("ms", [3_601_001, 10**12])
async def test_a_code_that_is_worth_less_is_402_and_stays_held(holds: Holds, issued: Issued, ms: int) -> None:
    hold = await holds.hold(issued.code)
    with pytest.raises(CreditTooSmall, match=r"3600\.0 s") as caught:
        await holds.price(hold, ms)
    assert caught.value.status == 402
    assert await holds.price(hold, 1000) == 1000
    assert await holds.void(hold)


async def test_what_was_not_priced_costs_all(
    database: Database, holds: Holds, issued: Issued, transcripts: Transcripts
) -> None:
    hold = await holds.hold(issued.code)
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("a"))
        assert await holds.post(tx, hold, "t") == WORTH_S * 1000


async def test_a_hold_that_nobody_renews_is_over(
    database: Database, codes: Codes, holds: Holds, issued: Issued
) -> None:
    lost = await holds.hold(issued.code)
    assert await holds.expire() == 0
    await lapse(database)
    assert await holds.expire() == 1
    assert await holds.expire() == 0
    assert (await codes.get(issued.id)).credit.state == "active"
    for late in (holds.renew(lost), holds.price(lost, 1)):
        with pytest.raises(HoldLost):
            await late
    assert not await holds.void(lost)
    assert await ends(database) == ["EXPIRED"]


async def test_renewing_keeps_it(database: Database, holds: Holds, issued: Issued) -> None:
    hold = await holds.hold(issued.code)
    await lapse(database)
    renewed = await holds.renew(hold)
    assert renewed.id == hold.id
    assert await holds.expire() == 0
    with pytest.raises(CodeHeld):
        await holds.hold(issued.code)


async def test_a_lapsed_hold_can_be_had_by_the_next_before_any_sweep(
    database: Database, codes: Codes, holds: Holds, issued: Issued, transcripts: Transcripts
) -> None:
    lost = await holds.hold(issued.code)
    await holds.price(lost, 4000)
    await lapse(database)
    hold = await holds.hold(issued.code)
    assert (await codes.get(issued.id)).credit.held_s == WORTH_S  # the price was of the other
    with pytest.raises(HoldLost):
        async with database.transaction() as tx:
            await transcripts.save(tx, Draft("late"), said("a"))
            await holds.post(tx, lost, "late")
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("a"))
        await holds.post(tx, hold, "t")
    assert [one.id for one in (await transcripts.page()).items] == ["t"]
    assert await ends(database) == ["EXPIRED", "POSTED"]


async def test_late_is_not_too_late_while_nobody_else_has_it(
    database: Database, holds: Holds, issued: Issued, transcripts: Transcripts
) -> None:
    hold = await holds.hold(issued.code)
    await lapse(database)
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("a"))
        await holds.post(tx, hold, "t")
    assert await holds.expire() == 0
    assert await ends(database) == ["POSTED"]


async def test_a_post_may_be_tried_again_for_the_same_transcript_only(
    database: Database, holds: Holds, issued: Issued, transcripts: Transcripts
) -> None:
    hold = await holds.hold(issued.code)
    for _ in range(2):
        async with database.transaction() as tx:
            await transcripts.save(tx, Draft("t"), said("a"))
            assert await holds.post(tx, hold, "t") == WORTH_S * 1000
    with pytest.raises(CodeUsed):
        async with database.transaction() as tx:
            await transcripts.save(tx, Draft("other"), said("a"))
            await holds.post(tx, hold, "other")
    assert [one.id for one in (await transcripts.page()).items] == ["t"]
    assert await ends(database) == ["POSTED"]


async def test_the_hold_of_a_code_that_is_gone_is_unknown(codes: Codes, holds: Holds, issued: Issued) -> None:
    hold = await holds.hold(issued.code)
    await codes.delete(issued.id)
    with pytest.raises(CodeUnknown):
        await holds.renew(hold)
    assert not await holds.void(hold)


async def test_many_lapsed_holds_are_swept_at_once(database: Database, codes: Codes, holds: Holds) -> None:
    for one in await codes.issue(120, seconds=1):
        await holds.hold(one.code)
    await lapse(database)
    assert await holds.expire() == 120
    assert set(await ends(database)) == {"EXPIRED"}


async def again(database: Database, holds: Holds, code_id: str, hold_id: str) -> Hold:
    async with database.transaction() as tx:
        return await holds.again(tx, code_id, hold_id)


async def test_a_hold_is_taken_from_a_process_that_is_gone(
    database: Database, holds: Holds, codes: Codes, issued: Issued, transcripts: Transcripts
) -> None:
    """In time, or when it lapsed, or was swept, or the time of the code is over; the old one is nothing."""
    first = await holds.hold(issued.code)
    second = await again(database, holds, first.code_id, first.id)
    assert (second.worth_ms, second.code_id) == (first.worth_ms, first.code_id)
    assert second.id != first.id
    with pytest.raises(HoldLost):
        await holds.renew(first)
    assert not await holds.void(first)
    await lapse(database)
    third = await again(database, holds, first.code_id, first.id)
    await lapse(database)
    assert await holds.expire() == 1
    await codes.patch(issued.id, Change(expires_at=datetime.now(UTC) - timedelta(1)))
    last = await again(database, holds, third.code_id, third.id)
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("hello"))
        await holds.post(tx, last, "t")
    assert await ends(database) == ["EXPIRED", "EXPIRED", "EXPIRED", "POSTED"]


async def test_a_code_that_is_not_free_is_not_taken_again(
    database: Database, holds: Holds, codes: Codes, issued: Issued, transcripts: Transcripts
) -> None:
    lost = await holds.hold(issued.code)
    await lapse(database)
    other = await holds.hold(issued.code)
    with pytest.raises(CodeHeld):
        await again(database, holds, lost.code_id, lost.id)
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), said("hello"))
        await holds.post(tx, other, "t")
    with pytest.raises(CodeUsed):
        await again(database, holds, lost.code_id, lost.id)
    (revoked,) = await codes.issue(1, seconds=1)
    hold = await holds.hold(revoked.code)
    await codes.patch(revoked.id, Change(revoked=True))
    with pytest.raises(CodeRevoked):
        await again(database, holds, hold.code_id, hold.id)
    await codes.delete(revoked.id)
    with pytest.raises(CodeUnknown):
        await again(database, holds, hold.code_id, hold.id)
