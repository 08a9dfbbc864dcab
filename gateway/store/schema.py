"""The version of the tables: told, brought up to date, and refused where this code does not know it.

Always: processes that start together migrate once; a migration happens whole or not at all.
"""

from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from gateway.errors import SchemaMismatch
from gateway.store.database import Database

FOLDER = Path(__file__).parent / "migrations"

log = structlog.get_logger()


def head(folder: Path = FOLDER) -> str:
    """The version that this code works with; a folder holds one step per version."""
    found = _scripts(folder).get_current_head()
    assert found is not None
    return found


async def current(database: Database) -> str | None:
    """The version of the database; None: it is empty. Raises StoreUnavailable."""
    async with database.reading(tables=False) as connection:
        return await connection.run_sync(_current)


async def upgrade(database: Database, *, folder: Path = FOLDER) -> None:
    """Makes the tables, or brings them up to date. Raises SchemaMismatch, StoreUnavailable."""
    if await current(database) == head(folder):
        return
    try:
        async with database.alone() as connection:
            await connection.run_sync(_upgrade, folder)
    except DBAPIError as refused:
        told = (refused.orig and refused.orig.__cause__) or refused.orig
        log.error("the tables could not be changed", reason=type(told).__name__)
        raise SchemaMismatch(
            "The tables could not be brought up to date: the database has others of these names, "
            "or its user may not make any. Nothing was changed."
        ) from None


async def check(database: Database, *, migrate: bool, folder: Path = FOLDER) -> None:
    """Sees to it that the tables are those of this code, with or without leave to change old ones.

    Those of an empty database are made in any case. Raises SchemaMismatch, StoreUnavailable.
    """
    found = await current(database)
    if migrate or found is None:
        await upgrade(database, folder=folder)
    elif found != head(folder):
        _known(_scripts(folder), found)
        raise SchemaMismatch(
            f"The tables are of version {found}, and this program needs {head(folder)}: "
            "run python -m gateway db upgrade."
        )


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: sa.Connection, folder: Path) -> None:
    scripts = _scripts(folder)
    found = _current(connection)  # again: somebody else may have been faster
    _known(scripts, found)
    with EnvironmentContext(Config(), scripts) as environment:
        environment.configure(
            connection=connection,
            fn=lambda revision, _: scripts._upgrade_revs("head", revision),
            transactional_ddl=True,
        )
        environment.run_migrations()
    if found != head(folder):
        log.info("the tables are up to date", version=head(folder), before=found)


def _known(scripts: ScriptDirectory, version: str | None) -> None:
    if version is not None and version not in {one.revision for one in scripts.walk_revisions()}:
        raise SchemaMismatch(
            f"The tables are of version {version}, which this program does not know: it is older than "
            "the one that made them. Start the newer program, or restore a backup of before."
        )


def _scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(str(folder), version_locations=[str(folder)])
