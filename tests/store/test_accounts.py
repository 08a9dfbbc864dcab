"""Accounts and their keys, in both databases."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import BadRequest, NotFound, StoreUnavailable
from gateway.settings import Rate
from gateway.store import keying
from gateway.store.accounts import KEPT_S, SAME, SCOPES, Account, Accounts, Change, Quota, Scope
from gateway.store.database import Database
from gateway.store.tables import ANYONE, keys

CALLS: tuple[Scope, ...] = ("download", "transcribe", "extract")


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Counted(Database):
    """Counts how often it is read."""

    count = 0

    def reading(self, *, tables: bool = True) -> AbstractAsyncContextManager[AsyncConnection]:
        self.count += 1
        return super().reading(tables=tables)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(database: Database, clock: Clock) -> Accounts:
    return Accounts(database, clock=clock)


async def test_a_key_is_known_by_its_hash_alone(database: Database, known: Accounts) -> None:
    made = await known.create("alice", ("download",))
    account = await known.by_key(made.key)
    assert account is not None
    assert (account.id, account.scopes) == ("alice", {"download"})
    async with database.reading() as tx:
        (row,) = (await tx.execute(sa.select(keys))).all()
    assert row.hash == keying.hashed(made.key)
    assert row.id == made.id == keying.named(made.key)
    assert not any(made.key in str(value) or made.key[3:20] in str(value) for value in row)
    (told,) = await known.keys()
    assert (told.id, told.owner, told.scopes) == (made.id, "alice", {"download"})


async def test_keys_of_one_owner_are_one_account(known: Accounts) -> None:
    first = await known.create("alice", CALLS, change=Change(rate=Rate(5, 0.5)))
    second = await known.create("alice", ("admin",))
    one, two = await known.by_key(first.key), await known.by_key(second.key)
    assert one is not None
    assert two is not None
    assert (one.id, one.rate) == (two.id, two.rate) == ("alice", Rate(5, 0.5))
    assert (one.scopes, two.scopes) == (set(CALLS), {"admin"})


async def test_what_is_no_key_of_ours_is_not_looked_for(known: Accounts) -> None:
    made = await known.create("alice", CALLS)
    known._database.ready = False
    for wrong in (
        "",
        "none",
        made.key[:-1],
        made.key + "0",
        made.key[:-1] + "x",
        f"{made.key[:9]}é{made.key[10:]}",
    ):
        assert await known.by_key(wrong) is None


@pytest.mark.parametrize("name", ["", ANYONE, "operator", "api-key", " a", "a" * 101, "a\nb", "ä", "a/b"])
async def test_a_name_that_means_something_else_is_refused(known: Accounts, name: str) -> None:
    with pytest.raises(BadRequest):
        await known.create(name, CALLS)
    assert await known.keys() == ()


async def test_a_revoked_key_is_nobodys_and_is_not_forgotten(known: Accounts) -> None:
    assert not await known.keyed()
    made = await known.create("alice", CALLS)
    await known.revoke(made.id)
    assert await known.by_key(made.key) is None
    assert (await known.keys())[0].revoked_at is not None
    assert await known.keyed()
    await known.revoke(made.key)  # again is no harm
    with pytest.raises(NotFound):
        await known.revoke("nothing")


async def test_a_key_ends_when_its_time_is_over(database: Database, known: Accounts) -> None:
    made = await known.create("alice", CALLS, expires_s=60)
    assert await known.by_key(made.key) is not None
    async with database.transaction() as tx:
        await tx.execute(keys.update().values(expires_at=database.now(-1)))
    assert await Accounts(database).by_key(made.key) is None


@pytest.mark.parametrize("keep_s", [0, 60])
async def test_another_key_takes_the_place_of_one(database: Database, known: Accounts, keep_s: float) -> None:
    old = await known.create("alice", ("download",), expires_s=3600)
    new = await known.rotate(old.id, keep_s=keep_s)
    account = await known.by_key(new.key)
    assert account is not None
    assert (account.id, account.scopes) == ("alice", {"download"})
    assert (await known.by_key(old.key) is not None) == (keep_s > 0)
    told = {one.id: one for one in await known.keys()}
    assert told[new.id].expires_at is not None  # as the old one's
    async with database.transaction() as tx:
        await tx.execute(keys.update().where(keys.c.id == old.id).values(expires_at=database.now(-1)))
    with pytest.raises(NotFound):
        await known.rotate(old.id)


async def test_limits_change_one_by_one_and_back(known: Accounts) -> None:
    await known.change("alice", Change(streams_max=3, month_audio_s_max=1.5))
    await known.change("alice", Change(rate=Rate(1, 0.25), stored_bytes_max=0))
    found = await known.named("alice")
    assert (found.rate, found.streams_max, found.quota) == (Rate(1, 0.25), 3, Quota(None, 1.5, 0))
    await known.change("alice", Change(rate=None, streams_max=None, month_audio_s_max=None))
    found = await known.named("alice")
    assert (found.rate, found.streams_max, found.quota) == (None, None, Quota(None, None, 0))
    await known.change(ANYONE, Change(month_bytes_max=5))
    assert (await known.named(ANYONE)).quota.month_bytes_max == 5
    assert await known.named("nobody") == Account("nobody", "nobody", frozenset())
    for wrong in (Change(streams_max=-1), Change(month_bytes_max=1 << 60)):
        with pytest.raises(BadRequest):
            await known.change("alice", wrong)


async def test_other_processes_know_within_moments(database: Database, known: Accounts, clock: Clock) -> None:
    made, other = await known.create("alice", CALLS), Accounts(database, clock=clock)
    assert await other.by_key(made.key) is not None
    await known.revoke(made.id)
    assert await other.by_key(made.key) is not None  # what is known counts for a moment
    clock.now_s += KEPT_S
    assert await other.by_key(made.key) is None


async def test_many_who_come_at_once_ask_once_when_an_answer_is_old(
    url: str, known: Accounts, clock: Clock
) -> None:
    counted = Counted(url)
    made, other = await known.create("alice", CALLS), Accounts(counted, clock=clock)
    await other.by_key(made.key)
    clock.now_s += KEPT_S
    counted.count = 0
    found = await asyncio.gather(*(other.by_key(made.key) for _ in range(50)))
    assert all(one is not None and one.id == "alice" for one in found)
    assert counted.count == 1
    await counted.close()


async def test_with_the_database_away_what_is_known_goes_on(
    database: Database, known: Accounts, clock: Clock
) -> None:
    made, other = await known.create("alice", CALLS), await known.create("bob", CALLS)
    assert await known.by_key(made.key) is not None
    assert await known.keyed()
    database.ready = False
    clock.now_s += KEPT_S
    for away in (False, True):
        database.away = away
        found = await known.by_key(made.key)
        assert found is not None
        assert await known.keyed()
        with pytest.raises(StoreUnavailable):
            await known.by_key(other.key)
        assert (await known.named("bob")).rate is None


async def test_two_who_make_the_same_account_make_one(database: Database) -> None:
    made = await asyncio.gather(*(Accounts(database).create("alice", CALLS) for _ in range(4)))
    assert len({one.key for one in made}) == 4
    assert [one.id for one in await Accounts(database).all()] == ["alice", ANYONE]


@given(st.text(max_size=80))
def test_no_text_is_a_key_by_chance(text: str) -> None:
    assert keying.hashed(text) is None
    assert keying.named(text) == text


def test_a_key_is_recognised_and_a_typing_error_too() -> None:
    key = keying.new()
    assert key.startswith("cw_")
    assert keying.hashed(key) is not None
    for at in range(len(key)):
        for sign in "aZ0-":
            if sign != key[at]:
                assert keying.hashed(key[:at] + sign + key[at + 1 :]) is None
    assert len({keying.new() for _ in range(100)}) == 100
    assert set(SCOPES) > set(CALLS)
    assert Change() == SAME
