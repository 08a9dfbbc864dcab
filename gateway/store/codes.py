"""Single-use codes: issued, looked at, changed, taken back.

Always: a code is shown once, when it is issued, and only its hash is kept; one that is spent stays so.
"""

import secrets
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import BadRequest, CodeUsed, NotFound
from gateway.store import lettering, paging
from gateway.store.database import Database
from gateway.store.paging import Page
from gateway.store.tables import codes, holds

COUNT_MAX = 10_000
SECONDS_MAX = 10**9

State = Literal["active", "held", "used", "revoked", "expired"]


class Credit(msgspec.Struct, frozen=True):
    """What a code is worth now, in seconds of audio: to be had, held by who uses it, and paid."""

    credit_s: float
    held_s: float
    used_s: float
    state: State


class Code(msgspec.Struct, frozen=True):
    """A code without its letters, which nobody has but its holder."""

    id: str
    seconds: float
    created_at: datetime
    expires_at: datetime | None  # None: never
    credit: Credit


class Issued(msgspec.Struct, frozen=True):
    """A new code, this once with its letters."""

    id: str
    code: str


class Change(msgspec.Struct, frozen=True):
    """What is to be other of a code; what is not named stays."""

    seconds: float | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    revoked: bool | UnsetType = UNSET


class Codes:
    """The codes, as those see them who issue them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(
        self, count: int, *, seconds: float, expires_at: datetime | None = None
    ) -> tuple[Issued, ...]:
        """New codes, worth so much audio each. Raises BadRequest."""
        if not 1 <= count <= COUNT_MAX:
            raise BadRequest(f"At once, 1 to {COUNT_MAX} codes are issued.")
        issued = tuple(Issued(secrets.token_urlsafe(9), lettering.new()) for _ in range(count))
        alike = {"worth_ms": _ms(seconds), "expires_at": expires_at}
        async with self._database.transaction() as tx:
            alike["created_at"] = (await tx.execute(sa.select(self._database.now()))).scalar_one()
            rows = [alike | {"id": one.id, "hash": lettering.hashed(one.code)} for one in issued]
            await tx.execute(codes.insert(), rows)
        return issued

    async def get(self, id_: str) -> Code:
        """A code by its id. Raises NotFound."""
        async with self._database.reading() as tx:
            return await self._get(tx, id_)

    async def page(self, *, after: str | None = None, limit: int = 50) -> Page[Code]:
        """The codes, newest first, from `after` on, which is the `next` of the page before."""
        place, limit = paging.place(after), paging.limited(limit)
        query = self._select().order_by(codes.c.created_at.desc(), codes.c.id.desc()).limit(limit + 1)
        if place is not None:
            query = query.where(paging.behind(codes, place))
        async with self._database.reading() as tx:
            rows = (await tx.execute(query)).all()
        more = paging.following(rows[limit - 1]) if rows[limit:] else None
        return Page(tuple(_code(row) for row in rows[:limit]), more)

    async def patch(self, id_: str, change: Change) -> Code:
        """Changes a code that is not spent. Revoking takes it from who holds it.

        Raises NotFound, CodeUsed, BadRequest.
        """
        now = self._database.now()
        values: dict[str, Any] = {}
        if change.seconds is not UNSET:
            values["worth_ms"] = _ms(change.seconds)
        if change.expires_at is not UNSET:
            values["expires_at"] = change.expires_at
        if change.revoked is not UNSET:
            values["revoked_at"] = now if change.revoked else None
        if change.revoked is True:
            values |= {"hold_id": None, "lease_until": None, "price_ms": None}
        async with self._database.transaction() as tx:
            if values:
                query = codes.update().where(codes.c.id == id_, codes.c.spent_at.is_(None)).values(values)
                if not (await tx.execute(query)).rowcount:
                    await self._get(tx, id_)
                    raise CodeUsed("The code was spent: it does not change any more.")
            if change.revoked is True:
                held = sa.and_(holds.c.code_id == id_, holds.c.state == "HELD")
                await tx.execute(holds.update().where(held).values(state="VOIDED", ended_at=now))
            return await self._get(tx, id_)

    async def delete(self, id_: str) -> None:
        """Forgets a code, spent or not; what it paid for stays. Raises NotFound."""
        async with self._database.transaction() as tx:
            if not (await tx.execute(codes.delete().where(codes.c.id == id_))).rowcount:
                raise NotFound("There is no such code.")

    async def _get(self, tx: AsyncConnection, id_: str) -> Code:
        row = (await tx.execute(self._select().where(codes.c.id == id_))).one_or_none()
        if row is None:
            raise NotFound("There is no such code.")
        return _code(row)

    def _select(self) -> sa.Select[Any]:
        return sa.select(codes, self._database.now().label("now"))


def state_of(row: sa.Row[Any]) -> State:
    """What a row of codes and `now` say. A hold whose lease is over holds nobody back."""
    if row.spent_at is not None:
        return "used"
    if row.revoked_at is not None:
        return "revoked"
    if row.hold_id is not None and row.lease_until > row.now:
        return "held"
    if row.expires_at is not None and row.expires_at <= row.now:
        return "expired"
    return "active"


def _code(row: sa.Row[Any]) -> Code:
    state = state_of(row)
    price_ms = row.worth_ms if row.price_ms is None else row.price_ms  # not known yet: all of it is held
    credit = Credit(
        credit_s=row.worth_ms / 1000 if state == "active" else 0.0,
        held_s=price_ms / 1000 if state == "held" else 0.0,
        used_s=price_ms / 1000 if state == "used" else 0.0,
        state=state,
    )
    return Code(row.id, row.worth_ms / 1000, row.created_at, row.expires_at, credit)


def _ms(seconds: float) -> int:
    if not 0 <= seconds <= SECONDS_MAX:
        raise BadRequest(f"A code is worth 0 to {SECONDS_MAX} seconds.")
    return round(seconds * 1000)
