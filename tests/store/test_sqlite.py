"""What is so of a file only."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.errors import BadRequest, StoreUnavailable
from gateway.store.database import Database
from gateway.store.tables import accounts
from tests.store.rows import add, names, refused


@pytest.fixture
def kind() -> str:
    return "sqlite"


async def test_it_is_made_for_its_user_only(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/folder/store.db")
    async with database.transaction() as tx:
        assert (await tx.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
        assert (await tx.exec_driver_sql("PRAGMA foreign_keys")).scalar() == 1
        await tx.exec_driver_sql("CREATE TABLE one (id)")
        for file in (tmp_path / "new/folder").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await database.close()
    assert [file.name for file in (tmp_path / "new/folder").iterdir()] == ["store.db"]


async def test_a_file_that_is_locked_is_waited_for_and_not_for_ever(url: str) -> None:
    database = Database(url, wait_s=0.2)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await add(database, "too early")
    assert await names(database) == set()  # readers do not wait
    other.execute("ROLLBACK")
    await add(database, "in time")
    assert await names(database) == {"in time"}
    other.close()
    await database.close()


async def test_a_full_disk_undoes_and_is_told(database: Database) -> None:
    async with database.transaction() as tx:
        pages = (await tx.exec_driver_sql("PRAGMA page_count")).scalar()
        await tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable):
        async with database.transaction() as tx:
            for number in range(100):
                row = {"id": f"{number}", "name": "x" * 5000, "kind": "", "created_at": database.now()}
                await tx.execute(accounts.insert().values(row))
    assert await names(database) == set()


@pytest.mark.parametrize("what", ["no database", "a folder", "nothing to read"])
async def test_a_file_that_is_none_is_told_without_its_path(what: str, tmp_path: Path) -> None:
    file = tmp_path / "secret place.db"
    if what == "a folder":
        file.mkdir()
    else:
        file.write_text("no database at all, but some text " * 40)
    if what == "nothing to read" and os.geteuid() != 0:
        file.chmod(0)
    await refused(Database(f"sqlite:///{file}"), "secret place")


async def test_a_backup_is_of_one_moment_and_opens(database: Database, tmp_path: Path) -> None:
    await add(database, "before")
    writing = asyncio.create_task(add(database, "meanwhile"))
    await database.backup(tmp_path / "copy.db")
    await writing
    await add(database, "after")
    copy = Database(f"sqlite:///{tmp_path}/copy.db")
    found = await names(copy)
    await copy.close()
    assert "before" in found
    assert "after" not in found
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with pytest.raises(BadRequest):
        await database.backup(tmp_path / "copy.db")
    assert not list(tmp_path.glob(".*"))
