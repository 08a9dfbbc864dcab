"""Rows for tests of the database itself, in the plainest of its tables."""

import pytest
import sqlalchemy as sa
import structlog

from gateway.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.tables import accounts


async def add(database: Database, name: str) -> None:
    """Keeps a row."""
    async with database.transaction() as tx:
        await tx.execute(accounts.insert().values(id=name, name=name, kind="test", created_at=database.now()))


async def names(database: Database) -> set[str]:
    """The rows that were kept."""
    async with database.reading() as tx:
        return set((await tx.execute(sa.select(accounts.c.id))).scalars()) - {"anyone"}


async def refused(database: Database, *secrets: str) -> None:
    """It is StoreUnavailable, and neither what is raised nor what is logged tells more."""
    with structlog.testing.capture_logs() as logs, pytest.raises(StoreUnavailable) as caught:
        await add(database, "never")
    assert caught.value.__cause__ is None
    assert [line["event"] for line in logs] == ["the database is away"]
    for secret in secrets:
        assert secret not in f"{logs} {caught.value!r} {caught.value.message}"
    await database.close()
