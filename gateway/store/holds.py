"""Holds: a code while a transcript is made for it.

Always: a hold ends exactly once, posted, voided or expired, and one row of `codes` decides which; a code
is spent if and only if one hold on it was posted, in the transaction that keeps its transcript. Nothing
of this is settled in a process: the database changes the row under a condition, or does not.
"""

import secrets
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import (
    CodeExpired,
    CodeHeld,
    CodeRevoked,
    CodeUnknown,
    CodeUsed,
    CreditTooSmall,
    GatewayError,
    HoldLost,
)
from gateway.store import lettering
from gateway.store.codes import State, state_of
from gateway.store.database import Database
from gateway.store.tables import codes, holds

LEASE_S = 60.0  # renewed by the running job; what a dead one leaves is free again after as much
FORGIVEN_MS = 1000  # what encoders pad: an mp3 of exactly one hour passes for one hour
_AT_ONCE = 100  # rows that one transaction of a sweep locks

REFUSED: dict[State, type[GatewayError]] = {
    "used": CodeUsed,
    "revoked": CodeRevoked,
    "held": CodeHeld,
    "expired": CodeExpired,
}


class Hold(msgspec.Struct, frozen=True):
    """Who has a code now, until when at least, and what it is worth."""

    id: str
    code_id: str
    worth_ms: int
    lease_until: datetime


class Holds:
    """The holds on all codes."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._lease_s = lease_s

    async def hold(self, code: str) -> Hold:
        """Takes a code. Raises CodeUnknown, CodeUsed, CodeHeld, CodeRevoked, CodeExpired."""
        hash_ = lettering.hashed(code)
        if hash_ is None:
            raise CodeUnknown
        now, id_ = self._database.now(), secrets.token_urlsafe(16)
        free = sa.and_(
            codes.c.hash == hash_,
            codes.c.spent_at.is_(None),
            codes.c.revoked_at.is_(None),
            sa.or_(codes.c.expires_at.is_(None), codes.c.expires_at > now),
            sa.or_(codes.c.hold_id.is_(None), codes.c.lease_until <= now),
        )
        taken = (
            codes.update()
            .where(free)
            .values(hold_id=id_, lease_until=self._until(), price_ms=None)
            .returning(codes.c.id, codes.c.worth_ms, codes.c.lease_until)
        )
        async with self._database.transaction() as tx:
            row = (await tx.execute(taken)).one_or_none()
            if row is None:
                raise await self._refusal(tx, codes.c.hash == hash_) or CodeHeld()
            await self._end(tx, row.id, state="EXPIRED")  # one that lapsed, and was not swept yet
            await tx.execute(holds.insert().values(id=id_, code_id=row.id, state="HELD", created_at=now))
        return Hold(id_, row.id, row.worth_ms, row.lease_until)

    async def price(self, hold: Hold, ms: int) -> int:
        """Tells what the audio is long, and gives what that costs, which is not more than the code's worth.

        Raises CreditTooSmall, or what `post` does.
        """
        asked = sa.literal(ms, sa.BigInteger)
        dear = sa.case((codes.c.worth_ms < asked, codes.c.worth_ms), else_=asked)
        priced = (
            codes.update()
            .where(self._held(hold), codes.c.worth_ms + FORGIVEN_MS >= asked)
            .values(price_ms=dear)
            .returning(codes.c.price_ms)
        )
        async with self._database.transaction() as tx:
            price_ms = (await tx.execute(priced)).scalar_one_or_none()
            if price_ms is not None:
                await tx.execute(holds.update().where(holds.c.id == hold.id).values(price_ms=price_ms))
                return int(price_ms)
            held = sa.select(codes.c.worth_ms).where(self._held(hold))
            worth_ms = (await tx.execute(held)).scalar_one_or_none()
            if worth_ms is None:
                raise await self._lost(tx, hold)
        raise CreditTooSmall(
            f"The audio is {ms / 1000:.1f} s long, and the code is worth {worth_ms / 1000:.1f} s."
        )

    async def renew(self, hold: Hold) -> Hold:
        """Keeps a code for one lease more. Raises what `post` does."""
        renewed = (
            codes.update()
            .where(self._held(hold))
            .values(lease_until=self._until())
            .returning(codes.c.worth_ms, codes.c.lease_until)
        )
        async with self._database.transaction() as tx:
            row = (await tx.execute(renewed)).one_or_none()
            if row is None:
                raise await self._lost(tx, hold)
        return Hold(hold.id, hold.code_id, row.worth_ms, row.lease_until)

    async def post(self, tx: AsyncConnection, hold: Hold, transcript_id: str) -> int:
        """Spends the code on a transcript that `tx` keeps, and gives what it cost in ms.

        Once more for the same transcript is no harm: whoever did not hear of the commit may try again.
        Raises HoldLost, CodeRevoked, CodeUsed, CodeUnknown.
        """
        now = self._database.now()
        posted = (
            codes.update()
            .where(self._held(hold))
            .values(
                spent_at=now,
                transcript_id=transcript_id,
                price_ms=sa.func.coalesce(codes.c.price_ms, codes.c.worth_ms),
            )
            .returning(codes.c.price_ms)
        )
        price_ms = (await tx.execute(posted)).scalar_one_or_none()
        if price_ms is None:
            again = sa.select(codes.c.price_ms).where(
                codes.c.hold_id == hold.id, codes.c.transcript_id == transcript_id
            )
            price_ms = (await tx.execute(again)).scalar_one_or_none()
            if price_ms is None:
                raise await self._lost(tx, hold)
            return int(price_ms)
        ledger = holds.update().where(holds.c.id == hold.id, holds.c.state == "HELD")
        done = await tx.execute(
            ledger.values(state="POSTED", price_ms=price_ms, transcript_id=transcript_id, ended_at=now)
        )
        assert done.rowcount == 1
        return int(price_ms)

    async def again(self, tx: AsyncConnection, code_id: str, hold_id: str) -> Hold:
        """Takes a code again for work whose process is gone: from the hold of that, or if it is free.

        It is another hold: should the process come back to life, it has nothing any more. The time of a
        code may be over by now, it was good when it was sent. Raises CodeUnknown, CodeUsed, CodeHeld,
        CodeRevoked.
        """
        now, id_ = self._database.now(), secrets.token_urlsafe(16)
        lapsed = sa.or_(codes.c.hold_id.is_(None), codes.c.lease_until <= now)
        free = sa.and_(
            codes.c.id == code_id,
            codes.c.spent_at.is_(None),
            codes.c.revoked_at.is_(None),
            sa.or_(codes.c.hold_id == hold_id, lapsed),
        )
        taken = (
            codes.update()
            .where(free)
            .values(hold_id=id_, lease_until=self._until(), price_ms=None)
            .returning(codes.c.worth_ms, codes.c.lease_until)
        )
        row = (await tx.execute(taken)).one_or_none()
        if row is None:
            raise await self._refusal(tx, codes.c.id == code_id) or CodeHeld()
        await self._end(tx, code_id, state="EXPIRED")
        await tx.execute(holds.insert().values(id=id_, code_id=code_id, state="HELD", created_at=now))
        return Hold(id_, code_id, row.worth_ms, row.lease_until)

    async def void(self, hold: Hold) -> bool:
        """Gives the code back; False: the hold had ended already."""
        async with self._database.transaction() as tx:
            return await self.void_in(tx, hold)

    async def void_in(self, tx: AsyncConnection, hold: Hold) -> bool:
        """The same, in a transaction of somebody else's."""
        freed = codes.update().where(self._held(hold)).values(_FREE)
        if not (await tx.execute(freed)).rowcount:
            return False
        await self._end(tx, hold.code_id, state="VOIDED")
        return True

    async def expire(self) -> int:
        """Gives back the codes of holds that nobody renewed; how many."""
        found, now = 0, self._database.now()
        lapsed = sa.and_(codes.c.hold_id.is_not(None), codes.c.spent_at.is_(None), codes.c.lease_until <= now)
        some = (
            sa.select(codes.c.id)
            .where(lapsed)
            .order_by(codes.c.lease_until)
            .limit(_AT_ONCE)
            .with_for_update(skip_locked=True)  # somebody else's sweep has them, or a renewal
        )
        while True:
            async with self._database.transaction() as tx:
                ids = list((await tx.execute(some)).scalars())
                await tx.execute(codes.update().where(codes.c.id.in_(ids)).values(_FREE))
                await self._end(tx, *ids, state="EXPIRED")
            found += len(ids)
            if len(ids) < _AT_ONCE:
                return found

    def _until(self) -> sa.ColumnElement[datetime]:
        return self._database.now(self._lease_s)

    @staticmethod
    def _held(hold: Hold) -> sa.ColumnElement[bool]:
        """Whether this very hold has its code. It is not asked for its lease: late is not too late."""
        return sa.and_(
            codes.c.id == hold.code_id, codes.c.hold_id == hold.id, codes.c.spent_at.is_(None)
        )  # fmt: skip

    async def _end(self, tx: AsyncConnection, *code_ids: str, state: str) -> None:
        """Writes down how holds ended, whose codes this transaction has just changed."""
        held = sa.and_(holds.c.code_id.in_(code_ids), holds.c.state == "HELD")
        await tx.execute(holds.update().where(held).values(state=state, ended_at=self._database.now()))

    async def _refusal(self, tx: AsyncConnection, which: sa.ColumnElement[bool]) -> GatewayError | None:
        """Why a code cannot be had; None: it can by now."""
        query = sa.select(codes, self._database.now().label("now")).where(which)
        row = (await tx.execute(query)).one_or_none()
        if row is None:
            return CodeUnknown()
        kind = REFUSED.get(state_of(row))
        return None if kind is None else kind()

    async def _lost(self, tx: AsyncConnection, hold: Hold) -> GatewayError:
        """Why a hold has no code any more."""
        why = await self._refusal(tx, codes.c.id == hold.code_id)
        return why if isinstance(why, CodeUnknown | CodeRevoked | CodeUsed) else HoldLost()


_FREE: dict[str, Any] = {"hold_id": None, "lease_until": None, "price_ms": None}
