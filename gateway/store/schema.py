"""The version of the tables: told, brought up to date, and refused where this code does not know it.

Always: processes that start together migrate once; a migration happens whole or not at all.
"""

from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from gateway.errors import SchemaMismatch
from gateway.store.database import Database

FOLDER = Path(__file__).parent / "migrations"

_NOTED = sa.table("alembic_version", sa.column("version_num"))  # where Alembic puts down the version

log = structlog.get_logger()


def head(folder: Path = FOLDER) -> str:
    """The version that this code works with; a folder holds one step per version."""
    return _versions(folder)[-1]


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
        _known(folder, found)
        raise SchemaMismatch(
            f"The tables are of version {found}, and this program needs {head(folder)}: "
            "run python -m gateway db upgrade."
        )


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_NOTED.name):
        return None
    found: str | None = connection.execute(sa.select(_NOTED.c.version_num)).scalar_one_or_none()
    return found


def _upgrade(connection: sa.Connection, folder: Path) -> None:
    # a tenth of what a gateway loads, and hardly ever wanted
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    found = _current(connection)  # again: somebody else may have been faster
    _known(folder, found)
    scripts = ScriptDirectory(str(folder), version_locations=[str(folder)])
    with EnvironmentContext(Config(), scripts) as environment:
        environment.configure(
            connection=connection,
            fn=lambda revision, _: scripts._upgrade_revs("head", revision),
            transactional_ddl=True,
        )
        environment.run_migrations()
    if found != head(folder):
        log.info("the tables are up to date", version=head(folder), before=found)


def _known(folder: Path, version: str | None) -> None:
    if version is not None and version not in _versions(folder):
        raise SchemaMismatch(
            f"The tables are of version {version}, which this program does not know: it is older than "
            "the one that made them. Start the newer program, or restore a backup of before."
        )


def _versions(folder: Path) -> list[str]:
    """Those that a folder leads to, as its steps' files are named, from the first to the last."""
    return sorted(step.name[1:5] for step in folder.glob("m[0-9][0-9][0-9][0-9]_*.py"))
