"""What is so of a server only: it can be away while we are here."""

import asyncio
import signal
from pathlib import Path

import pytest
import structlog

from gateway.errors import BadRequest, StoreUnavailable
from gateway.store.database import Database
from gateway.store.tables import accounts
from tests.postgres import PASSWORD, Cluster
from tests.store.rows import add, names, refused


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_it_goes_and_comes_back_and_nothing_is_lost(
    how: signal.Signals, database: Database, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await add(database, "before")
    begun, gone = asyncio.Event(), asyncio.Event()

    async def cut() -> None:
        async with database.transaction() as tx:
            await tx.execute(accounts.delete())
            begun.set()
            await gone.wait()
            await tx.execute(accounts.delete())

    cutting = asyncio.create_task(cut())
    await begun.wait()
    cluster.stop(how=how)
    try:
        gone.set()
        with pytest.raises(StoreUnavailable):
            await cutting
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as caught:
                    await add(database, "meanwhile")
        assert caught.value.retry_after_s
        assert logs == []  # it was told once, when it was noticed
    finally:
        cluster.start()
    with structlog.testing.capture_logs() as logs:
        await add(database, "after")
    assert [line["event"] for line in logs] == ["the database is back"]
    assert await names(database) == {"before", "after"}
    assert caplog.records == []  # of the libraries, with their tracebacks


async def test_a_connection_that_is_ended_from_there_is_replaced(
    database: Database, cluster: Cluster
) -> None:
    await asyncio.gather(*(add(database, f"{number}") for number in range(5)))
    cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clipwire'")
    await add(database, "after")
    assert len(await names(database)) == 6


async def test_a_server_that_stands_still_is_not_waited_for_for_ever(url: str, cluster: Cluster) -> None:
    database, new = Database(url, wait_s=0.3), Database(url, wait_s=0.3)
    await add(database, "before")
    cluster.freeze()
    try:
        for one in (database, new):  # with a connection that was good, and with none
            with pytest.raises(StoreUnavailable):
                await add(one, "meanwhile")
    finally:
        cluster.thaw()
    await add(database, "after")
    assert {"before", "after"} <= await names(new)
    await database.close()
    await new.close()


async def test_one_transaction_does_not_wait_for_another_for_ever(url: str) -> None:
    database, other = Database(url, wait_s=0.3), Database(url)
    await add(database, "one")
    change = accounts.update().where(accounts.c.id == "one").values(name="other")
    async with other.transaction() as tx:
        await tx.execute(change)
        with pytest.raises(StoreUnavailable):
            async with database.transaction() as waiting:
                await waiting.execute(change)
    async with database.transaction() as tx:
        await tx.execute(change)
    await other.close()
    await database.close()


@pytest.mark.parametrize("wrong", ["password", "database", "port", "parameter"])
async def test_one_that_cannot_be_used_is_told_without_its_secrets(wrong: str, cluster: Cluster) -> None:
    url = {
        "password": cluster.url("postgres", password="another secret"),
        "database": cluster.url("secret_clips"),
        "port": cluster.url("postgres").replace(f":{cluster.port}/", ":1/"),
        "parameter": cluster.url("postgres") + "?no_such_secret=1",
    }[wrong]
    await refused(Database(url), "secret", PASSWORD, "127.0.0.1", str(cluster.port), "%")


async def test_it_has_backups_of_its_own(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="pg_dump"):
        await database.backup(tmp_path / "copy.db")
