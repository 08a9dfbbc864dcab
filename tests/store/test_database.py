import asyncio
import random

import pytest
import sqlalchemy as sa

from gateway.errors import CodeUsed, StoreUnavailable
from gateway.store.database import Database
from gateway.store.postgresql import CONNECTIONS
from gateway.store.tables import accounts
from tests.store.conftest import Fresh
from tests.store.rows import add, names

LEAVING = 60


async def test_a_transaction_is_kept_or_undone(database: Database) -> None:
    await add(database, "kept")
    with pytest.raises(CodeUsed):
        async with database.transaction() as tx:
            await tx.execute(accounts.delete())
            raise CodeUsed
    assert await names(database) == {"kept"}


async def test_a_reader_sees_one_moment(database: Database) -> None:
    async with database.reading() as tx:
        query = sa.select(sa.func.count()).select_from(accounts)
        before = (await tx.execute(query)).scalar_one()
        await add(database, "meanwhile")
        assert (await tx.execute(query)).scalar_one() == before
    assert await names(database) == {"meanwhile"}


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((StoreUnavailable, sa.exc.DBAPIError)):
        async with database.reading() as tx:
            await tx.execute(accounts.delete())
    await add(database, "still works")


async def test_times_are_utc_and_go_on(database: Database) -> None:
    async with database.reading() as tx:
        now, later = (await tx.execute(sa.select(database.now(), database.now(90)))).one()
    assert now.utcoffset().total_seconds() == 0
    assert 80 < (later - now).total_seconds() < 100


async def test_writers_of_several_pools_take_turns(database: Database, url: str) -> None:
    other = Database(url)
    await asyncio.gather(*(add(one, f"{number}") for number, one in enumerate([database, other] * 20)))
    assert len(await names(database)) == 40
    await other.close()


async def test_who_leaves_in_the_middle_takes_nothing_along(database: Database) -> None:
    """Neither a connection nor a lock; and what was begun is undone."""
    chance = random.Random(1)

    async def slow(number: int) -> None:
        async with database.transaction() as tx:
            await tx.execute(
                accounts.insert().values(id=f"{number}", name="", kind="", created_at=database.now())
            )
            await asyncio.sleep(3600)

    for number in range(LEAVING):
        task = asyncio.create_task(slow(number))
        await asyncio.sleep(chance.uniform(0, 0.003))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(*(add(database, f"after {number}") for number in range(CONNECTIONS)))
    assert await names(database) == {f"after {number}" for number in range(CONNECTIONS)}


async def test_more_than_there_are_connections_wait_in_turn(database: Database) -> None:
    async def read() -> int:
        async with database.reading() as tx:
            await asyncio.sleep(0.01)
            return int((await tx.execute(sa.select(sa.literal(1)))).scalar_one())

    assert sum(await asyncio.gather(*(read() for _ in range(5 * CONNECTIONS)))) == 5 * CONNECTIONS


async def test_nobody_waits_for_a_connection_for_ever(url: str) -> None:
    database, hold = Database(url, wait_s=0.2), asyncio.Event()

    async def busy() -> None:
        async with database.transaction():
            await hold.wait()

    holding = [asyncio.create_task(busy()) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.1)
    with pytest.raises(StoreUnavailable) as caught:
        await busy()
    assert caught.value.retry_after_s
    hold.set()
    await asyncio.gather(*holding, return_exceptions=True)
    await database.close()


async def test_what_is_no_outage_is_not_told_as_one(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught:
        async with database.transaction() as tx:
            await tx.execute(sa.text("SELECT :secret FROM no_such_table"), {"secret": "of somebody"})
    assert "of somebody" not in str(caught.value)
    await add(database, "still works")


async def test_any_text_can_be_kept(database: Database) -> None:
    async with database.transaction() as tx:
        row = {"id": "odd", "name": "a\0b\ud800c 🎉", "kind": "", "created_at": database.now()}
        await tx.execute(accounts.insert().values(row))
    async with database.reading() as tx:
        name = (await tx.execute(sa.select(accounts.c.name).where(accounts.c.id == "odd"))).scalar_one()
    assert name == "abc 🎉"


async def test_an_empty_database_has_no_tables(fresh: Fresh) -> None:
    database = Database(fresh())
    with pytest.raises(sa.exc.DBAPIError):
        await names(database)
    await database.close()


async def test_a_writer_that_is_cancelled_at_any_step_keeps_nobody_waiting(url: str) -> None:
    database, dice = Database(url, wait_s=3), random.Random(7)

    async def read_and_write(number: int) -> None:
        async with database.transaction() as tx:
            (await tx.execute(sa.select(database.now()))).scalar_one()  # leaves a cursor
            row = {"id": f"{number}", "name": "", "kind": "test", "created_at": database.now()}
            await tx.execute(accounts.insert().values(row).returning(accounts.c.id))

    for number in range(100):
        writer = asyncio.create_task(read_and_write(number))
        await asyncio.sleep(dice.random() * 0.004)
        writer.cancel()
        await asyncio.wait([writer])
        await add(database, f"whole {number}")
    assert {f"whole {number}" for number in range(100)} <= await names(database)
    await database.close()
