"""SQLite: the database where none is named. A file, and one writer at a time.

Always: what was committed stays, whatever dies; readers and the writer do not wait for each other.
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.errors import BadRequest, SchemaMismatch
from gateway.store.tables import Moment, decoded, encoded

READERS = 4
MIGRATION_WAIT_S = 60  # for another process that migrates the same file
WAL_BYTES_KEPT = 64 << 20  # what a large write leaves of the log

MAGIC = b"SQLite format 3\0"

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # what was paid for outlasts a loss of power
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}",
)

# what is wrong with the file or its disk, or is held by others; the rest is a fault of ours
OUTAGES = {
    "BUSY", "LOCKED", "IOERR", "FULL", "CANTOPEN", "READONLY", "PERM", "AUTH", "CORRUPT", "NOTADB",
    "NOMEM", "PROTOCOL", "INTERRUPT", "NOLFS",
}  # fmt: skip


class SQLite:
    """The file, seen through one connection that writes and some that read."""

    name = "sqlite"

    def __init__(self, file: Path, *, wait_s: float) -> None:
        self.file = file
        if not file.exists():
            _make(file)
        self._wait_s = wait_s
        # writers wait for each other here in turn; in SQLite they would wait by trying again
        self.writers = self._engine("BEGIN IMMEDIATE", pool_size=1)
        self.readers = self._engine("BEGIN", "PRAGMA query_only = ON", pool_size=READERS)

    def now(self, after_s: float) -> sa.ColumnElement[datetime]:
        """The time, and some seconds; whoever has the file has its clock."""
        return sa.literal(datetime.now(UTC) + timedelta(seconds=after_s), Moment)

    def outage(self, failure: Exception) -> str | None:
        """Why the file cannot be used now; None: it can be, and the failure is another."""
        if isinstance(failure, NoConnection):
            return "no connection was free in time"
        told = failure.orig if isinstance(failure, DBAPIError) else failure
        name: str = getattr(told, "sqlite_errorname", "")
        return name if name.removeprefix("SQLITE_").partition("_")[0] in OUTAGES else None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that no other overlaps, for changes of the tables."""
        # steps may build a table anew and drop the old one, which must not cascade
        engine = self._engine(
            "BEGIN IMMEDIATE",
            "PRAGMA foreign_keys = OFF",
            f"PRAGMA busy_timeout = {MIGRATION_WAIT_S * 1000}",
            poolclass=NullPool,
        )
        try:
            async with engine.begin() as connection:
                yield connection
                if (await connection.exec_driver_sql("PRAGMA foreign_key_check")).first():
                    raise SchemaMismatch("The new tables would have rows that refer to nothing.")
        finally:
            await engine.dispose()

    async def backup(self, connection: AsyncConnection, target: Path) -> None:
        """Copies the database as it is now to a file that is not there yet: whole at once, or not at all."""
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        os.close(descriptor)
        copy = sqlite3.connect(draft, check_same_thread=False)
        try:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            await raw.driver_connection.backup(copy)
            copy.close()
            os.link(draft, target)
        except FileExistsError:
            raise BadRequest("There is a file of this name already.") from None
        finally:
            copy.close()
            os.unlink(draft)

    def abandon(self) -> None:
        """A file is waited for in threads of our own, and for no longer than a lock."""

    async def close(self) -> None:
        """Lets go of the file."""
        await self.writers.dispose()
        await self.readers.dispose()

    def _engine(self, begin: str, *pragmas: str, **pool: Any) -> AsyncEngine:
        if "pool_size" in pool:
            pool |= {"max_overflow": 0, "pool_timeout": self._wait_s}
        engine = create_async_engine(
            "sqlite+aiosqlite:///file",  # SQLAlchemy pools in another way what is in memory
            async_creator=self._connect,
            hide_parameters=True,
            json_serializer=encoded,
            json_deserializer=decoded,
            **pool,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            try:
                cursor = connection.cursor()
                for pragma in (*PRAGMAS, *pragmas):
                    cursor.execute(pragma)
                cursor.close()
            except BaseException:
                connection.close()  # nobody else does; it has a thread
                raise

        @event.listens_for(engine.sync_engine, "begin")
        def begun(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    async def _connect(self) -> aiosqlite.Connection:
        connection = _Connection(
            lambda: sqlite3.connect(
                self.file,
                timeout=self._wait_s,
                isolation_level=None,  # else Python's driver begins transactions as it sees fit
            ),
            64,
        )
        connection._thread.daemon = True
        try:
            return await connection
        except BaseException:
            # it ends by itself, and with a traceback if the loop is closed before
            await asyncio.to_thread(connection._thread.join)
            raise


class _Connection(aiosqlite.Connection):
    """A connection that a cancelled task leaves as it seems to be: a step that has begun is waited for.

    Else its thread would begin a transaction for nobody, and whoever writes next finds the file locked.
    """

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        step = asyncio.ensure_future(super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise

    async def close(self) -> None:
        """Undoes what was not committed: SQLite closes only when the last cursor is collected."""
        if self._connection is not None:
            await self._execute(self._connection.rollback)
        await super().close()


def is_one(file: Path) -> bool:
    """Whether a file begins as SQLite's do; an empty one is a database without tables."""
    with file.open("rb") as head:
        return head.read(len(MAGIC)) in (MAGIC, b"")


def _make(file: Path) -> None:
    """An empty database with its log, for its user only; whole at once, whoever else makes it now.

    Connections that turn on the log of a new file together are refused, and do not wait.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # 0600 from the first
    os.close(descriptor)
    try:
        connection = sqlite3.connect(draft)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        os.link(draft, file)  # and never over what another process made meanwhile
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
