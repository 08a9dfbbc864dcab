"""Jobs: work that was promised and outlives a restart.

Always: a job is leased to at most one process at a time, which renews its lease or loses it; it ends once.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Busy, Interrupted, NotFound, RateLimited
from gateway.store.accounts import ensured
from gateway.store.database import Database
from gateway.store.tables import ANYONE, jobs

LEASE_S = 60.0
PENDING_MAX = 1000
OWNER_PENDING_MAX = 100  # of one account: its promises must not use up everybody's
STRANGERS_SHARE = 0.5  # of the queue, of each kind: they have no account, and are many
OWNER_AGAIN_S = 30
ATTEMPTS_MAX = 3  # a job that ends its process each time is not tried for ever
PENDING_S = 24 * 3600  # a job that nobody could take up for so long is given up
RECENT = 25
_AT_ONCE = 500  # rows that one transaction of a sweep removes

State = Literal["PENDING", "RUNNING", "COMPLETE", "FAILED", "CANCELLED"]
WebhookState = Literal["OWED", "TOLD", "FAILED"]

ENDED = ("COMPLETE", "FAILED", "CANCELLED")


class Wanted(msgspec.Struct, frozen=True):
    """A job as it is asked for."""

    kind: str
    payload: Any  # what JSON can hold
    owner: str = ANYONE
    transcript_id: str | None = None
    idempotency_key: str | None = None  # the same one of the same owner is the same job
    waiting: bool = False  # on a connection of the process that asks
    folder: str | None = None  # the data folder that has its media; None: any process may work on it
    webhook_url: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A job as it stands."""

    id: str
    owner: str
    kind: str
    transcript_id: str | None
    state: State
    payload: Any
    idempotency_key: str | None
    waiting: bool
    folder: str | None
    attempts: int
    lease_owner: str | None
    lease_until: datetime | None
    error_code: str | None
    error_text: str | None
    webhook_url: str | None
    webhook_state: WebhookState | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Counts(msgspec.Struct, frozen=True):
    """How many jobs there are, by state."""

    pending: int = 0
    running: int = 0
    complete: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.running + self.complete + self.failed + self.cancelled


class Jobs:
    """The jobs, as one process sees them: what it leases is leased to `process`, and has no media but
    those in `folder`."""

    def __init__(
        self,
        database: Database,
        process: str,
        *,
        folder: str | None = None,
        lease_s: float = LEASE_S,
        pending_max: int = PENDING_MAX,
    ) -> None:
        self._database = database
        self.process = process
        self._folder = folder
        self._lease_s = lease_s
        self._pending_max = pending_max

    # asked for

    async def enqueue(self, wanted: Wanted) -> Job:
        """A new job, or the one that there is for its key.

        Raises Busy when too many are pending, of all or of strangers, and RateLimited when of an account.
        """
        now = self._database.now()
        row: dict[str, Any] = msgspec.structs.asdict(wanted) | {
            "id": secrets.token_urlsafe(12), "state": "PENDING", "attempts": 0,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        if wanted.waiting:  # as long as somebody waits, somebody renews
            row |= {"lease_owner": self.process, "lease_until": self._until()}
        async with self._database.transaction() as tx:
            if (there := await self._same(tx, wanted.owner, wanted.idempotency_key)) is not None:
                return there
            pending = sa.select(sa.func.count()).where(jobs.c.state == "PENDING")
            if (await tx.execute(pending)).scalar_one() >= self._pending_max:
                raise Busy
            own = pending.where(jobs.c.owner == wanted.owner)
            if wanted.owner == ANYONE:
                alike = (await tx.execute(own.where(jobs.c.kind == wanted.kind))).scalar_one()
                if alike >= self._pending_max * STRANGERS_SHARE:
                    raise Busy
            elif (await tx.execute(own)).scalar_one() >= OWNER_PENDING_MAX:
                raise RateLimited(
                    f"At most {OWNER_PENDING_MAX} of your jobs may wait.", retry_after_s=OWNER_AGAIN_S
                )
            await ensured(tx, self._database, [wanted.owner])
            insert = (sqlite if self._database.name == "sqlite" else postgresql).insert(jobs).values(row)
            keyed = insert.on_conflict_do_nothing(index_elements=["owner", "idempotency_key"])
            made = (await tx.execute(keyed.returning(jobs))).one_or_none()
            if made is not None:
                return _job(made)
            found = await self._same(tx, wanted.owner, wanted.idempotency_key)
        assert found is not None
        return found

    async def keyed(self, key: str, *, owner: str = ANYONE) -> Job | None:
        """The job that was asked for with a key, if there is one."""
        async with self._database.reading() as tx:
            return await self._same(tx, owner, key)

    async def unkey(self, id_: str) -> None:
        """Lets a job's key name another from now on."""
        async with self._database.transaction() as tx:
            await tx.execute(jobs.update().where(jobs.c.id == id_).values(idempotency_key=None))

    async def keep(self, id_: str, payload: Any, webhook_url: str | None) -> bool:
        """From here on nobody need wait for a job, and who takes it up next has its payload.

        A webhook is told when it ends. False: it is not this process's any more, or was cancelled.
        """
        kept = {"waiting": False, "payload": payload, "webhook_url": webhook_url}
        async with self._database.transaction() as tx:
            return bool((await tx.execute(jobs.update().where(self._mine(id_)).values(kept))).rowcount)

    async def note(self, tx: AsyncConnection, id_: str, payload: Any) -> bool:
        """Puts down what whoever takes up the job next must know. False: it is not this process's."""
        return bool((await tx.execute(jobs.update().where(self._mine(id_)).values(payload=payload))).rowcount)

    async def cancel_pending(self, tx: AsyncConnection, id_: str) -> bool:
        """Ends a job that nobody works on. False: somebody does by now, or it has ended."""
        pending = sa.and_(jobs.c.id == id_, jobs.c.state == "PENDING")
        return bool(await self._ended(tx, pending, state="CANCELLED"))

    async def cancel(self, id_: str, *, owner: str | None = None) -> bool:
        """Ends a job that has not ended; whoever runs it sees that when renewing. False: it had ended.

        Raises NotFound.
        """
        async with self._database.transaction() as tx:
            open_ = sa.and_(_one(id_, owner), jobs.c.state.not_in(ENDED))
            if await self._ended(tx, open_, state="CANCELLED"):
                return True
            await self._get(tx, id_, owner)
            return False

    # worked on

    async def lease(self, kinds: Sequence[str]) -> Job | None:
        """The next job of some kinds, which this process works on from now; None: there is none.

        Owners take turns: it is of who has the fewest at work. What somebody waits for on a connection is
        begun by who has the connection.
        """
        now = self._database.now()
        free = sa.and_(
            jobs.c.state == "PENDING",
            jobs.c.kind.in_(kinds),
            sa.or_(jobs.c.folder.is_(None), jobs.c.folder == self._folder),
            jobs.c.waiting.is_(False),
        )
        busy = jobs.alias()
        at_work = (
            sa.select(sa.func.count())
            .where(busy.c.owner == jobs.c.owner, busy.c.state == "RUNNING", busy.c.waiting.is_(False))
            .scalar_subquery()
        )
        following = sa.select(jobs.c.id).where(free).order_by(at_work, jobs.c.created_at, jobs.c.id).limit(1)
        leased = (
            jobs.update()
            .where(jobs.c.id == following.with_for_update(skip_locked=True).scalar_subquery())
            .values(
                state="RUNNING", lease_owner=self.process, lease_until=self._until(),
                attempts=jobs.c.attempts + 1, started_at=now, updated_at=now,
            )
            .returning(jobs)
        )  # fmt: skip
        async with self._database.transaction() as tx:
            row = (await tx.execute(leased)).one_or_none()
        return None if row is None else _job(row)

    async def begin(self, id_: str) -> bool:
        """Takes up a job that is waited for on a connection of this process. False: it was cancelled."""
        now = self._database.now()
        own = sa.and_(jobs.c.id == id_, jobs.c.state == "PENDING", jobs.c.lease_owner == self.process)
        begun = jobs.update().where(own).values(
            state="RUNNING", lease_until=self._until(), attempts=jobs.c.attempts + 1,
            started_at=now, updated_at=now,
        )  # fmt: skip
        async with self._database.transaction() as tx:
            return bool((await tx.execute(begun)).rowcount)

    async def renew(self, id_: str) -> bool:
        """Keeps a job for one lease more. False: it is not this process's any more, or was cancelled."""
        now = self._database.now()
        mine = sa.and_(
            jobs.c.id == id_, jobs.c.lease_owner == self.process, jobs.c.state.in_(("PENDING", "RUNNING"))
        )
        async with self._database.transaction() as tx:
            renewed = jobs.update().where(mine).values(lease_until=self._until(), updated_at=now)
            return bool((await tx.execute(renewed)).rowcount)

    async def complete(self, tx: AsyncConnection, id_: str) -> bool:
        """Ends a job well, with what `tx` keeps of it. False: it is not this process's any more."""
        return bool(await self._ended(tx, self._mine(id_), state="COMPLETE"))

    async def fail(self, id_: str, code: str, text: str) -> bool:
        """Ends a job badly. False: it is not this process's any more."""
        async with self._database.transaction() as tx:
            return await self.failed_in(tx, id_, code, text)

    async def failed_in(self, tx: AsyncConnection, id_: str, code: str, text: str) -> bool:
        """The same, with what `tx` keeps of it."""
        error = {"error_code": code, "error_text": text}
        return bool(await self._ended(tx, self._mine(id_), state="FAILED", **error))

    async def stop(self, id_: str) -> bool:
        """Ends a job that nobody wants any more. False: it is not this process's any more."""
        async with self._database.transaction() as tx:
            return bool(await self._ended(tx, self._mine(id_), state="CANCELLED"))

    async def cancelled_in(self, tx: AsyncConnection, id_: str) -> None:
        """Ends a job that was cancelled, with what `tx` keeps of it; it may be ended already."""
        await self._ended(tx, sa.and_(jobs.c.id == id_, jobs.c.state.not_in(ENDED)), state="CANCELLED")

    async def hand_back(self, id_: str) -> bool:
        """Lets another process take up a job of this one, which is no try that counts."""
        return bool(await self._handed_back(self._mine(id_)))

    async def hand_all_back(self) -> int:
        """The same of all that this process has, which ends; how many."""
        return await self._handed_back(
            sa.and_(jobs.c.state == "RUNNING", jobs.c.lease_owner == self.process)
        )  # fmt: skip

    async def repair(self, dead: Collection[str] = ()) -> int:
        """Takes up what dead processes left, which is what nobody renewed; how many jobs.

        They are pending again, but where somebody waited on a connection, which is gone, or where a job
        was tried often enough, they have failed; as have those that nobody has taken up for a day. Of
        processes that are known to be `dead`, no lease is waited for. A row that somebody else has locked is
        left for the next time.
        """
        now = self._database.now()
        over = sa.or_(jobs.c.lease_until <= now, jobs.c.lease_owner.in_(list(dead)))
        left = sa.and_(jobs.c.state.in_(("PENDING", "RUNNING")), over)
        hopeless = sa.or_(jobs.c.waiting.is_(True), jobs.c.attempts >= ATTEMPTS_MAX)
        old = self._database.now(-PENDING_S)
        stale = sa.and_(jobs.c.state == "PENDING", jobs.c.lease_until.is_(None), jobs.c.updated_at < old)
        again = {"state": "PENDING", "lease_owner": None, "lease_until": None, "updated_at": now}
        async with self._database.transaction() as tx:
            failed = await self._ended(
                tx,
                _free(sa.or_(sa.and_(left, hopeless), stale)),
                state="FAILED",
                error_code=Interrupted.code,
                error_text=Interrupted.text,
            )
            pending = jobs.update().where(_free(left), sa.not_(hopeless)).values(again)
            return failed + (await tx.execute(pending)).rowcount

    # looked at

    async def get(self, id_: str, *, owner: str | None = None) -> Job:
        """A job. Raises NotFound."""
        async with self._database.reading() as tx:
            return await self._get(tx, id_, owner)

    async def of(self, transcript_id: str) -> Job | None:
        """The job of a transcript, if there is one."""
        newest = sa.select(jobs).where(jobs.c.transcript_id == transcript_id)
        async with self._database.reading() as tx:
            row = (await tx.execute(newest.order_by(jobs.c.created_at.desc()).limit(1))).one_or_none()
        return None if row is None else _job(row)

    async def known_of(self, ids: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Which of some jobs have not ended, and which there are at all."""
        query = sa.select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(ids))
        async with self._database.reading() as tx:
            found = {row.id: row.state for row in await tx.execute(query)}
        return frozenset(id_ for id_, state in found.items() if state not in ENDED), frozenset(found)

    async def forget(self, transcript_id: str) -> bool:
        """Removes what is known of a transcript that did not come to be. False: nothing is."""
        gone = sa.and_(
            jobs.c.transcript_id == transcript_id,
            jobs.c.state.in_(("FAILED", "CANCELLED")),
            sa.or_(jobs.c.waiting.is_(False), jobs.c.error_code == Interrupted.code),
        )
        async with self._database.transaction() as tx:
            return bool((await tx.execute(jobs.delete().where(gone))).rowcount)

    async def counts(self, *, owner: str | None = None) -> Counts:
        """How many there are in each state."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        async with self._database.reading() as tx:
            rows = await tx.execute(_of(query, owner))
            return Counts(**{state.lower(): count for state, count in rows.tuples()})

    async def recent(self, *, owner: str | None = None, limit: int = RECENT) -> tuple[Job, ...]:
        """The newest."""
        return await self._some(sa.select(jobs), owner, limit)

    async def failed(self, *, owner: str | None = None, limit: int = RECENT) -> tuple[Job, ...]:
        """The newest that failed."""
        return await self._some(sa.select(jobs).where(jobs.c.state == "FAILED"), owner, limit)

    async def owed(self, *, limit: int = RECENT) -> tuple[Job, ...]:
        """Jobs that ended and whose webhook was not told yet, the first first."""
        query = sa.select(jobs).where(jobs.c.webhook_state == "OWED").order_by(jobs.c.ended_at).limit(limit)
        async with self._database.reading() as tx:
            return tuple(_job(row) for row in await tx.execute(query))

    async def told(self, id_: str, *, heard: bool) -> None:
        """The webhook of a job was told, or could not be."""
        state: WebhookState = "TOLD" if heard else "FAILED"
        async with self._database.transaction() as tx:
            await tx.execute(jobs.update().where(jobs.c.id == id_).values(webhook_state=state))

    async def sweep(self, keep_s: float) -> int:
        """Removes jobs that ended longer ago than that; how many."""
        found = 0
        before = self._database.now(-keep_s)
        old = sa.and_(jobs.c.created_at < before, jobs.c.state.in_(ENDED), jobs.c.ended_at < before)
        some = sa.select(jobs.c.id).where(old).order_by(jobs.c.created_at).limit(_AT_ONCE)
        while True:
            async with self._database.transaction() as tx:
                ids = list((await tx.execute(some)).scalars())
                await tx.execute(jobs.delete().where(jobs.c.id.in_(ids)))
            found += len(ids)
            if len(ids) < _AT_ONCE:
                return found

    def _until(self) -> sa.ColumnElement[datetime]:
        return self._database.now(self._lease_s)

    def _mine(self, id_: str) -> sa.ColumnElement[bool]:
        return sa.and_(
            jobs.c.id == id_, jobs.c.state == "RUNNING", jobs.c.lease_owner == self.process
        )  # fmt: skip

    async def _handed_back(self, which: sa.ColumnElement[bool]) -> int:
        free = {
            "state": "PENDING", "lease_owner": None, "lease_until": None,
            "attempts": jobs.c.attempts - 1, "updated_at": self._database.now(),
        }  # fmt: skip
        async with self._database.transaction() as tx:
            left = jobs.update().where(which, jobs.c.waiting.is_(False)).values(free)
            return (await tx.execute(left)).rowcount

    async def _ended(self, tx: AsyncConnection, which: sa.ColumnElement[bool], **values: Any) -> int:
        now = self._database.now()
        owed = sa.case((jobs.c.webhook_url.is_not(None), "OWED"), else_=None)
        ended = values | {"lease_until": None, "updated_at": now, "ended_at": now, "webhook_state": owed}
        return (await tx.execute(jobs.update().where(which).values(ended))).rowcount

    @staticmethod
    async def _same(tx: AsyncConnection, owner: str, key: str | None) -> Job | None:
        if key is None:
            return None
        same = sa.and_(jobs.c.owner == owner, jobs.c.idempotency_key == key)
        row = (await tx.execute(sa.select(jobs).where(same))).one_or_none()
        return None if row is None else _job(row)

    @staticmethod
    async def _get(tx: AsyncConnection, id_: str, owner: str | None) -> Job:
        row = (await tx.execute(sa.select(jobs).where(_one(id_, owner)))).one_or_none()
        if row is None:
            raise NotFound("There is no such job.")
        return _job(row)

    async def _some(self, query: "sa.Select[Any]", owner: str | None, limit: int) -> tuple[Job, ...]:
        newest = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        async with self._database.reading() as tx:
            return tuple(_job(row) for row in await tx.execute(_of(newest, owner)))


def _one(id_: str, owner: str | None) -> sa.ColumnElement[bool]:
    return jobs.c.id == id_ if owner is None else sa.and_(jobs.c.id == id_, jobs.c.owner == owner)


def _free(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Those of them that nobody else has locked."""
    return jobs.c.id.in_(sa.select(jobs.c.id).where(which).with_for_update(skip_locked=True))


def _of(query: "sa.Select[Any]", owner: str | None) -> "sa.Select[Any]":
    return query if owner is None else query.where(jobs.c.owner == owner)


def _job(row: sa.Row[Any]) -> Job:
    return Job(**row._mapping)
