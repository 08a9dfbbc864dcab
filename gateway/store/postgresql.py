"""PostgreSQL: the database where gateways on several machines share one.

Always: a connection that is lent works; every wait for the server has an end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.errors import BadRequest
from gateway.store.tables import decoded, encoded

CONNECTIONS = 10
STATEMENT_WAITS = 3  # ours take milliseconds, a search through everything takes longest: 15 s are enough
IDLE_S = 60  # a transaction of a process that was stopped must not hold its rows for ever
MIGRATION_WAIT_S = 60  # for another process that migrates the same database
MIGRATION_LOCK = 0x636C6970  # any number, the same for all of us
RECYCLE_S = 1800  # before what stands between forgets a quiet connection

# classes of SQLSTATE: connection, resources, operator, system, rolled back, who may log in, no such database
OUTAGES = {"08", "53", "57", "58", "40", "28", "3D"}
OUTAGE_STATES = {
    "25006",  # a server that only reads: it was the standby
    "25P03",  # the transaction was idle for too long
    "55P03",  # a lock was not to be had in time
}


class PostgreSQL:
    """The server, seen through a bounded pool."""

    name = "postgresql"

    def __init__(self, address: str, *, wait_s: float) -> None:
        self._address = address
        self._wait_s = wait_s
        self._abandoned = False
        self._dialling: set[asyncio.Timeout] = set()
        self._connections: set[Any] = set()
        self.writers = self._engine(
            wait_s * STATEMENT_WAITS,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=wait_s,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
        )
        # one moment for all that a reader reads, as in SQLite
        self.readers = self.writers.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def now(self, after_s: float) -> sa.ColumnElement[datetime]:
        """The time, and some seconds, by the one clock that all gateways share: the server's."""
        return sa.func.now() + sa.literal(timedelta(seconds=after_s), sa.Interval)

    def outage(self, failure: Exception) -> str | None:
        """Why the server cannot be used now; None: it can be, and the failure is another."""
        cause: BaseException | None = failure
        if isinstance(failure, DBAPIError) and failure.orig is not None:
            cause = failure.orig.__cause__ or failure.orig  # the driver's own error, under SQLAlchemy's two
        state = getattr(cause, "sqlstate", None) or ""
        out = (
            isinstance(cause, OSError | NoConnection)
            or isinstance(failure, asyncpg.PostgresError)  # as it is: there was no connection yet
            or state[:2] in OUTAGES
            or state in OUTAGE_STATES
            # of the driver: the connection was lost, at an unforeseen point, or the address makes no sense
            or isinstance(cause, asyncpg.InternalClientError)
            or (isinstance(cause, asyncpg.InterfaceError) and not isinstance(cause, asyncpg.DataError))
        )
        return f"{type(cause).__name__} {state}".strip() if out else None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that no other of its kind overlaps, for changes of the tables."""
        engine = self._engine(None, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                for setting in (
                    f"lock_timeout = '{MIGRATION_WAIT_S}s'",
                    "statement_timeout = 0",
                    "idle_in_transaction_session_timeout = 0",
                ):
                    await connection.exec_driver_sql(f"SET LOCAL {setting}")
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                yield connection
        finally:
            await engine.dispose()

    async def backup(self, connection: AsyncConnection, target: Path) -> None:
        """PostgreSQL has tools of its own for this."""
        raise BadRequest("The database is PostgreSQL: back it up with pg_dump.")

    def abandon(self) -> None:
        """Breaks every connection off, without a word to a server that may stand still, and makes none."""
        self._abandoned = True
        now = asyncio.get_running_loop().time()
        for dialling in self._dialling:
            dialling.reschedule(now)
        for connection in list(self._connections):
            connection.terminate()

    async def close(self) -> None:
        """Lets go of the connections."""
        await self.writers.dispose()

    def _engine(self, statement_s: float | None, **pool: Any) -> AsyncEngine:
        async def connect() -> Any:
            if self._abandoned:
                raise ConnectionAbortedError
            async with asyncio.timeout(None) as dialling:
                self._dialling.add(dialling)
                try:
                    connection = await asyncpg.connect(
                        self._address,
                        timeout=self._wait_s,
                        command_timeout=statement_s,
                        server_settings={"application_name": "clipwire", "timezone": "UTC"},
                    )
                finally:
                    self._dialling.discard(dialling)
            self._connections.add(connection)
            connection.add_termination_listener(self._connections.discard)
            try:
                # not with the settings above, as poolers refuse to pass them on
                await connection.execute(
                    f"SET lock_timeout = {round(self._wait_s * 1000)};"
                    f"SET statement_timeout = {round((statement_s or 0) * 1000)};"
                    f"SET idle_in_transaction_session_timeout = {IDLE_S * 1000}"
                )
            except BaseException:
                connection.terminate()
                raise
            return connection

        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            isolation_level="READ COMMITTED",  # conditions are looked at again after waiting for a row
            hide_parameters=True,
            json_serializer=encoded,
            json_deserializer=decoded,
            **pool,
        )
