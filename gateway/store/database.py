"""The database: one way to write, one way to read, and what its failures mean.

Always: what is in a transaction happens whole or not at all; a database that is away is StoreUnavailable,
and nobody is told more; once it is back it is used again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.errors import StoreUnavailable
from gateway.settings import Settings
from gateway.store import address
from gateway.store.sqlite import SQLite
from gateway.tasks import heeded

FILE = "clipwire.db"
WAIT_S = 5.0  # for a connection, a lock, the server: longer than a burst, shorter than patience

# it logs a traceback for each connection that was lost; that one was, is told here, once
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
log = structlog.get_logger()


class Backend(Protocol):
    """A kind of database; each is known by one file."""

    @property
    def name(self) -> str: ...
    @property
    def writers(self) -> AsyncEngine: ...
    @property
    def readers(self) -> AsyncEngine: ...
    def now(self, after_s: float) -> sa.ColumnElement[datetime]: ...
    def outage(self, failure: Exception) -> str | None: ...
    def alone(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
    async def backup(self, connection: AsyncConnection, target: Path) -> None: ...
    def abandon(self) -> None: ...
    async def close(self) -> None: ...


def of(settings: Settings) -> "Database":
    """The database that is set, or the file in the data folder."""
    return Database(_url(settings))


def exists(settings: Settings) -> bool:
    """Whether that is there, as far as is known without dialling: a file is made when it is opened."""
    found = address.read(_url(settings))
    return not isinstance(found, Path) or found.exists()


def told(settings: Settings) -> str:
    """Which that is, for its operator: the kind, and the file or the place of the server."""
    url = _url(settings)
    found = address.read(url)
    return f"SQLite {found.absolute()}" if isinstance(found, Path) else f"PostgreSQL {address.place(url)}"


def _url(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite:///{quote(str(settings.data_dir / FILE))}"


@asynccontextmanager
async def opened(settings: Settings) -> "AsyncIterator[Database]":
    """The same for as long as a command takes."""
    database = of(settings)
    try:
        yield database
    finally:
        await database.close()


class Database:
    """Where everything is that outlives a request. Nothing is dialled before it is needed."""

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        found = address.read(url)
        self._backend = _backend(found, wait_s)
        self._leaving: asyncio.TimerHandle | None = None
        self.away = False  # as far as is known: it was when it was wanted the last time
        self.ready = True  # False: its tables were not looked at yet, and nobody may use them

    @property
    def name(self) -> str:
        """Which kind it is, in the words of SQLAlchemy."""
        return self._backend.name

    def now(self, after_s: float = 0) -> sa.ColumnElement[datetime]:
        """The time, and some seconds, as all who share this database have it."""
        return self._backend.now(after_s)

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """For writing: kept on leaving, undone by any failure. Raises StoreUnavailable."""
        return self._connected(lambda: self._backend.writers.begin(), tables=True)

    def reading(self, *, tables: bool = True) -> AbstractAsyncContextManager[AsyncConnection]:
        """For reading, of one moment; without `tables`, of what the database says of itself.

        Raises StoreUnavailable.
        """
        return self._connected(lambda: self._backend.readers.begin(), tables=tables)

    async def check(self) -> None:
        """Asks it something, before much is begun that needs it. Raises StoreUnavailable."""
        async with self.reading() as connection:
            await connection.execute(sa.select(1))

    def alone(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that no other of its kind overlaps, for changes of the tables."""
        return self._connected(self._backend.alone, tables=False)

    async def backup(self, target: Path) -> None:
        """Copies the database as it is now to a file that is not there yet, while it is in use.

        Raises BadRequest, StoreUnavailable, OSError of the file.
        """
        async with self.reading() as connection:
            await self._backend.backup(connection, target)

    def give_up_in(self, seconds: float) -> None:
        """From then on, or from what was said first, it is away for good: nothing waits for it."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.ready = False
        self._backend.abandon()

    async def close(self) -> None:
        """Lets go of every connection."""
        await self._backend.close()
        if self._leaving is not None:
            self._leaving.cancel()

    @asynccontextmanager
    async def _connected(
        self, begun: Callable[[], AbstractAsyncContextManager[AsyncConnection]], *, tables: bool
    ) -> AsyncIterator[AsyncConnection]:
        if tables and not self.ready:
            raise StoreUnavailable
        try:
            with heeded():
                async with begun() as connection:
                    yield connection
        except Exception as failure:
            reason = self._backend.outage(failure)
            if reason is None:
                raise
            if not self.away:
                log.error("the database is away", kind=self.name, reason=reason)
            self.away = True
            raise StoreUnavailable from None
        if self.away:
            log.info("the database is back", kind=self.name)
        self.away = False


def _backend(found: Path | str, wait_s: float) -> Backend:
    if isinstance(found, Path):
        return SQLite(found, wait_s=wait_s)
    from gateway.store.postgresql import PostgreSQL  # and its driver, which others need not load

    return PostgreSQL(found, wait_s=wait_s)
