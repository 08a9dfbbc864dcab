import asyncio
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import BadRequest, NotFound, SchemaMismatch
from gateway.store import restoring, schema
from gateway.store.codes import Codes
from gateway.store.database import Database
from gateway.store.holds import Holds
from gateway.store.jobs import Jobs, Wanted
from gateway.store.search import Search
from gateway.store.stored import Draft
from gateway.store.tables import INDEX, accounts, metadata
from gateway.store.transcripts import Transcripts
from tests.postgres import Cluster
from tests.store.conftest import Fresh
from tests.store.making import account, in_step, said, save


@pytest.fixture
async def backup(file: Path, tmp_path: Path) -> Path:
    """Some of everything, in SQLite, and its copy."""
    source = Database(f"sqlite:///{tmp_path}/source.db")
    await schema.upgrade(source)
    me = await account(source, "me")
    await save(source, Draft("gone", owner=me), "gone")
    await Transcripts(source).delete("gone")
    for number in range(3):
        await save(source, Draft(f"{number}", owner=me, title="größer 🎉"), *["a red kite"] * 450, words=True)
    holds = Holds(source)
    spent, _ = await Codes(source).issue(2, seconds=60)
    hold = await holds.hold(spent.code)
    async with source.transaction() as tx:
        await Transcripts(source).save(tx, Draft("paid"), said("a quiet harbour"))
        await holds.post(tx, hold, "paid")
    await Jobs(source, "here").enqueue(Wanted("kind", {"a": [1, None]}, owner=me, waiting=True))
    await source.backup(tmp_path / "backup.db")
    await source.close()
    return tmp_path / "backup.db"


async def rows(database: Database) -> dict[str, list[object]]:
    """Everything, but what each database makes for itself."""
    found: dict[str, list[object]] = {}
    async with database.reading() as tx:
        for table in metadata.sorted_tables:
            own = {"id"} if table.name == "segments" else set()
            columns = [column for column in table.columns if column.name not in own]
            query = (
                sa.select(*columns)
                .order_by(*table.primary_key.columns)
                .where(table.c.id != "anyone" if table is accounts else sa.true())
            )
            found[table.name] = [tuple(row) for row in await tx.execute(query)]
    return found


async def test_a_backup_is_taken_over_row_by_row(backup: Path, fresh: Fresh) -> None:
    database, source = Database(fresh()), Database(f"sqlite:///{backup}")
    count = await restoring.restore(backup, database)
    taken = await rows(database)
    assert taken == await rows(source)
    assert count == sum(len(some) for some in taken.values()) > 1350
    # it is not only there, but works
    assert len((await Search(database).find("kite", limit=200)).items) == 200
    await Transcripts(database).delete("0")
    await save(database, Draft("new"), "a new one")
    await in_step(database)
    await database.close()
    await source.close()


async def test_only_an_empty_database_is_filled(backup: Path, database: Database) -> None:
    await Codes(database).issue(1, seconds=1)
    before = await rows(database)
    with pytest.raises(BadRequest, match="empty"):
        await restoring.restore(backup, database)
    assert await rows(database) == before


async def test_what_is_no_backup_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await restoring.restore(tmp_path / "nothing.db", database)
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMismatch, match="none"):
        await restoring.restore(tmp_path / "empty.db", database)
    (tmp_path / "letter.txt").write_text("Dear reader")
    with pytest.raises(BadRequest, match="no SQLite database"):
        await restoring.restore(tmp_path / "letter.txt", database)


async def test_a_dump_of_a_server_is_restored_row_by_row(
    backup: Path, cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    """The commands of docs/operations.md, as a user without rights."""
    for name in ("dumped", "filled"):
        cluster.create(name)
        request.addfinalizer(partial(cluster.sql, f"DROP DATABASE {name} WITH (FORCE)"))
    source = Database(cluster.url("dumped"))
    await restoring.restore(backup, source)
    file = backup.with_suffix(".dump")
    for command in (
        ("pg_dump", "-Fc", "-d", cluster.url("dumped"), "-f", file),
        ("pg_restore", "--exit-on-error", "--no-owner", "-d", cluster.url("filled"), file),
    ):
        await asyncio.to_thread(cluster.run, *command)
    database = Database(cluster.url("filled"))
    assert await schema.current(database) == schema.head()
    assert await rows(database) == await rows(source)
    assert len((await Search(database).find("kite", limit=200)).items) == 200
    assert cluster.sql(f"SELECT count(*) FROM pg_indexes WHERE indexname = '{INDEX}'", "filled") == "1"
    await save(database, Draft("new"), "a new one")  # rows are counted on from where they were
    await database.close()
    await source.close()
