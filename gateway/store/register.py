"""The jobs that somebody waits for, transcripts and calls: put down behind the answer, so that none just
vanishes.

Always: nobody waits for a row, and what has none yet is bounded; however many there are, the database is
asked a few times a second at the most, and one statement renews the leases of them all.
"""

import asyncio
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Interrupted, StoreUnavailable
from gateway.store import behind
from gateway.store.accounts import ensured
from gateway.store.database import Database
from gateway.store.jobs import LEASE_S
from gateway.store.tables import ANYONE, jobs
from gateway.wire.events import Failed

KIND = "transcript"
CALL = "call"  # one of TTTranscribe's, whatever transcript answers it
CHANGES_MAX = 20_000  # some megabytes: an outage of an hour
TOGETHER_S = 0.25  # those that come meanwhile are written together
CLOSE_S = 2.0
_AT_ONCE = 500  # rows of one transaction: others want to write too

log = structlog.get_logger()


def new_id() -> str:
    """A job's."""
    return str(uuid.uuid4())


class Entry(msgspec.Struct, frozen=True):
    """A transcript that has begun, or a call of `kind` whose payload says more."""

    name: str  # what it is ended by: the transcript's id, or the job's
    created_at: datetime
    owner: str = ANYONE
    payload: dict[str, Any] = {}
    kind: str = KIND


class Register:
    """Those that run in this process, and what of it the database has not been told yet."""

    def __init__(
        self, database: Database, process: str, *, lease_s: float = LEASE_S, changes_max: int = CHANGES_MAX
    ) -> None:
        self._database = database
        self._process = process
        self._lease_s = lease_s
        self._changes_max = changes_max
        self._running: dict[str, str] = {}  # what it is ended by, to the job
        self._new: dict[str, dict[str, Any]] = {}  # rows, by job
        self._ended: dict[str, dict[str, Any]] = {}  # what is other of those that have a row, by job
        self._some = asyncio.Event()
        self._full = False
        self._none = asyncio.Event()  # set: nothing waits, or is on its way into the database
        self._none.set()

    def __len__(self) -> int:
        """Changes that the database has not been told."""
        return len(self._new) + len(self._ended)

    def begin(self, entry: Entry) -> None:
        """A transcript runs; without a row where too many wait for theirs."""
        if len(self) >= self._changes_max:
            if not self._full:
                log.error("jobs are not put down: too many wait for the database")
            self._full = True
            return
        self._full = False
        transcript_id, id_ = (entry.name, new_id()) if entry.kind == KIND else (None, entry.name)
        self._running[entry.name] = id_
        self._new[id_] = {
            "id": id_, "owner": entry.owner, "kind": entry.kind, "transcript_id": transcript_id,
            "state": "RUNNING", "payload": entry.payload, "waiting": True, "attempts": 1,
            "lease_owner": self._process, "error_code": None, "error_text": None, "ended_at": None,
            "created_at": entry.created_at, "started_at": entry.created_at, "updated_at": entry.created_at,
        }  # fmt: skip
        self._some.set()
        self._none.clear()

    def end(
        self,
        name: str,
        state: Literal["COMPLETE", "FAILED", "CANCELLED"],
        failed: Failed | None = None,
        **known: Any,
    ) -> None:
        """It runs no more; what else is known of it now belongs to its row."""
        id_ = self._running.pop(name, None)
        if id_ is None:
            return
        now = datetime.now(UTC)
        told: dict[str, Any] = {
            "state": state, "error_code": failed and failed.code, "error_text": failed and failed.message,
            "updated_at": now, "ended_at": now,
        } | known  # fmt: skip
        if id_ in self._new:
            self._new[id_] |= told
        else:
            self._ended[id_] = told
        self._some.set()
        self._none.clear()

    async def settled(self, wait_s: float = CLOSE_S) -> None:
        """Waits until the rows are as this process knows them, if that is soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._none.wait()

    async def run(self) -> None:
        """Writes and renews for as long as the gateway runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(behind.whenever(self._some, self._write_all, together_s=TOGETHER_S))
            group.create_task(self._renewing())

    async def close(self, close_s: float = CLOSE_S) -> None:
        """Writes what is left, within a deadline; `run` has ended."""
        await behind.last(self._write_all, close_s)

    async def _renewing(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if self._running:
                with suppress(StoreUnavailable):  # it may be back before the leases are over
                    async with self._database.transaction() as tx:
                        await self._renew(tx)

    async def _renew(self, tx: AsyncConnection) -> None:
        mine = sa.and_(
            jobs.c.state == "RUNNING", jobs.c.kind.in_((KIND, CALL)), jobs.c.lease_owner == self._process
        )  # fmt: skip
        await tx.execute(jobs.update().where(mine).values(lease_until=self._database.now(self._lease_s)))

    async def _write_all(self) -> None:
        """Raises StoreUnavailable; what was not written goes on waiting."""
        while len(self):
            new, ended = _first(self._new), _first(self._ended)
            try:
                await self._write(new, ended)
            except StoreUnavailable:
                self._wait_on(new, ended)
                raise
            except Exception as failure:  # a fault of ours must not keep the others from their rows
                log.error("jobs are not put down", count=len(new) + len(ended), exc_info=failure)
            except BaseException:
                self._wait_on(new, ended)
                raise
        self._some.clear()
        self._none.set()

    def _wait_on(self, new: dict[str, dict[str, Any]], ended: dict[str, dict[str, Any]]) -> None:
        """As before; what has come to its end meanwhile belongs to the row that is not there."""
        for id_ in [id_ for id_ in self._ended if id_ in new]:
            new[id_] |= self._ended.pop(id_)
        self._new, self._ended = new | self._new, ended | self._ended

    async def _write(self, new: dict[str, dict[str, Any]], ended: dict[str, dict[str, Any]]) -> None:
        running = [row for row in new.values() if row["state"] == "RUNNING"]
        over = [row for row in new.values() if row["state"] != "RUNNING"]
        async with self._database.transaction() as tx:
            await ensured(tx, self._database, sorted({row["owner"] for row in new.values()}))
            if running:
                until = self._database.now(self._lease_s)
                await tx.execute(jobs.insert().values(lease_until=until), running)
            if over:
                await tx.execute(jobs.insert(), over)
            if ended:
                # its lease may have ended while the database was away: it is known better here
                lost = jobs.c.error_code == Interrupted.code
                told = jobs.update().where(
                    jobs.c.id == sa.bindparam("job"), sa.or_(jobs.c.state == "RUNNING", lost)
                )
                for _, some in groupby(sorted(ended.items(), key=_width), key=_width):
                    rows = [{"job": id_, **values} for id_, values in some]
                    await tx.execute(told.values(lease_until=None), rows)


def _width(one: tuple[str, dict[str, Any]]) -> int:
    """How many columns it changes; those with as many change the same."""
    return len(one[1])


def _first(waiting: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The first of them, taken out."""
    return {id_: waiting.pop(id_) for id_ in list(waiting)[:_AT_ONCE]}
