import asyncio
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.errors import SchemaMismatch
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.jobs import Jobs, Wanted
from gateway.store.tables import INDEX, accounts, metadata
from tests.postgres import USER, Cluster
from tests.store import child
from tests.store.conftest import Fresh
from tests.store.processes import started
from tests.store.rows import add, names

AT_ONCE = 4


async def tables(database: Database) -> set[str]:
    async with database.reading() as tx:
        return set(await tx.run_sync(lambda connection: sa.inspect(connection).get_table_names()))


def following(folder: Path, what: str) -> Path:
    """The steps of the code that comes after this, whose last one does `what`."""
    shutil.copytree(schema.FOLDER, folder)
    (folder / "m9999_next.py").write_text(
        f"""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", {schema.head()!r}
def upgrade():
    with op.batch_alter_table("accounts", recreate="always" if {"always" in what} else "auto") as accounts:
        accounts.add_column(sa.Column("colour", sa.Text))
    {"op.execute('SELECT * FROM no_such_table')" if what == "fails" else "pass"}
"""
    )
    return folder


def test_a_steps_file_is_named_by_its_version() -> None:
    steps = ScriptDirectory(str(schema.FOLDER), version_locations=[str(schema.FOLDER)])
    assert schema._versions(schema.FOLDER) == sorted(one.revision for one in steps.walk_revisions())
    assert schema.head() == steps.get_current_head()


async def test_an_empty_database_gets_the_tables(fresh: Fresh) -> None:
    database = Database(fresh())
    assert await schema.current(database) is None
    await schema.upgrade(database)
    assert await schema.current(database) == schema.head()
    await schema.upgrade(database)  # again is no harm
    async with database.reading() as tx:
        assert (await tx.execute(sa.select(accounts.c.id, accounts.c.kind))).all() == [
            ("anyone", "anonymous")
        ]
    await database.close()


async def test_the_steps_lead_to_the_tables_that_the_code_names(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        def ours(_: object, name: str | None, kind: str, reflected: bool, __: object) -> bool:
            return not (name or "").startswith(INDEX)  # of texts: each database has its own

        options = {"include_object": ours, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.reading() as tx:
        assert await tx.run_sync(differences) == []


async def test_both_have_an_index_of_texts(database: Database) -> None:
    catalogue = {"sqlite": "SELECT name FROM sqlite_master", "postgresql": "SELECT indexname FROM pg_indexes"}
    async with database.reading() as tx:
        assert INDEX in set((await tx.execute(sa.text(catalogue[database.name]))).scalars())


async def test_processes_that_start_together_migrate_once(fresh: Fresh) -> None:
    url = fresh()
    running = [started(child.upgrade, url) for _ in range(AT_ONCE)]
    for _, pipe in running:
        pipe.send("go")
    for process, _ in running:
        process.join(60)
        assert process.exitcode == 0
    database = Database(url)
    assert await schema.current(database) == schema.head()
    await database.close()


async def test_an_older_one_waits_for_leave_and_is_brought_up(database: Database, tmp_path: Path) -> None:
    folder = following(tmp_path / "next", "adds a column")
    await add(database, "of before")
    with pytest.raises(SchemaMismatch, match="db upgrade"):
        await schema.check(database, migrate=False, folder=folder)
    assert await schema.current(database) == schema.head()
    await schema.check(database, migrate=True, folder=folder)
    assert await schema.current(database) == schema.head(folder) == "9999"
    assert await names(database) == {"of before"}


async def test_a_schema_newer_than_the_code_is_refused_and_left_alone(
    database: Database, tmp_path: Path
) -> None:
    await schema.upgrade(database, folder=following(tmp_path / "next", "adds a column"))
    await add(database, "of the newer version")
    for migrate in (True, False):
        with pytest.raises(SchemaMismatch, match=r"9999.*older"):
            await schema.check(database, migrate=migrate)
    assert await schema.current(database) == "9999"
    assert await names(database) == {"of the newer version"}


async def test_a_step_that_fails_leaves_all_as_it_was(database: Database, tmp_path: Path) -> None:
    folder = following(tmp_path / "next", "fails")
    await add(database, "of before")
    with pytest.raises(SchemaMismatch, match="Nothing was changed"):
        await schema.upgrade(database, folder=folder)
    assert await schema.current(database) == schema.head()
    async with database.reading() as tx:
        assert "colour" not in (await tx.execute(sa.text("SELECT * FROM accounts"))).keys()  # noqa: SIM118
    assert await names(database) == {"of before"}


@pytest.mark.parametrize("kind", ["sqlite"])  # the other changes tables in place
async def test_a_table_that_is_built_anew_takes_no_rows_of_others_along(
    database: Database, kind: str, tmp_path: Path
) -> None:
    jobs = Jobs(database, "test")
    job = await jobs.enqueue(Wanted("kind", None))  # refers to an account
    await schema.upgrade(database, folder=following(tmp_path / "next", "always anew"))
    assert await jobs.get(job.id) == job


async def test_an_empty_one_does_not_wait_for_leave(fresh: Fresh) -> None:
    database = Database(fresh())
    await schema.check(database, migrate=False)
    assert await schema.current(database) == schema.head()
    await database.close()


async def test_what_cannot_be_made_is_not_made_in_part(fresh: Fresh) -> None:
    database = Database(fresh())
    async with database.transaction() as tx:
        await tx.execute(sa.text("CREATE TABLE jobs (somebody_elses INTEGER)"))
    with pytest.raises(SchemaMismatch, match="Nothing was changed"):
        await schema.upgrade(database)
    assert await tables(database) == {"jobs"}
    await database.close()


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_a_user_who_may_not_make_tables_is_told(fresh: Fresh, cluster: Cluster, kind: str) -> None:
    url = fresh()
    name = url.rpartition("/")[2]
    cluster.sql(
        f"ALTER SCHEMA public OWNER TO admin; REVOKE CREATE ON SCHEMA public FROM PUBLIC, {USER}", name
    )
    database = Database(url)
    with pytest.raises(SchemaMismatch, match="may not make"):
        await schema.upgrade(database)
    await database.close()


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_without_leave_for_the_extension_there_is_no_index(
    fresh: Fresh, cluster: Cluster, kind: str
) -> None:
    url = fresh()
    name = url.rpartition("/")[2]
    cluster.sql(f"ALTER DATABASE {name} OWNER TO admin; ALTER SCHEMA public OWNER TO {USER}", "postgres")
    cluster.sql(f"ALTER SCHEMA public OWNER TO {USER}", name)
    database = Database(url)
    await schema.upgrade(database)
    assert cluster.sql(f"SELECT count(*) FROM pg_indexes WHERE indexname = '{INDEX}'", name) == "0"
    await database.close()


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_two_tasks_upgrade_as_two_processes_would(fresh: Fresh, kind: str, tmp_path: Path) -> None:
    url = fresh()
    databases = [Database(url) for _ in range(AT_ONCE)]
    await asyncio.gather(*(schema.upgrade(one) for one in databases))
    assert await schema.current(databases[0]) == schema.head()
    for one in databases:
        await one.close()
