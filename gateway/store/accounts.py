"""Accounts: who calls, what each may do, and the keys that show it.

Always: a key is shown once, when it is made, and only its hash is kept; a revoked one keeps its row, so
that a server that has had keys does not stand open once the last is gone. An account's id is its name.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, get_args

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import BadRequest, NotFound, StoreUnavailable
from gateway.settings import OWNER
from gateway.store import keying
from gateway.store.database import Database
from gateway.store.limits import Rate
from gateway.store.tables import ANYONE, accounts, keys

Scope = Literal["download", "transcribe", "extract", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
OPERATOR = "operator"  # the account of GATEWAY_ADMIN_KEY
SHARED = "api-key"  # that of GATEWAY_API_KEY
RESERVED = (ANYONE, OPERATOR, SHARED)
KEPT_S = 5.0  # how long an answer of the database counts: so soon a key is revoked everywhere
KEPT_MAX = 10_000
LIMIT_MAX = 1 << 53

T = TypeVar("T")


class Quota(msgspec.Struct, frozen=True):
    """How much an account may use; None: as the settings say. 0 is nothing."""

    month_bytes_max: int | None = None
    month_audio_s_max: float | None = None
    stored_bytes_max: int | None = None


class Account(msgspec.Struct, frozen=True):
    """Who calls, however that was shown."""

    id: str
    name: str
    scopes: frozenset[Scope]
    rate: Rate | None = None  # None: as the settings say
    streams_max: int | None = None  # likewise
    quota: Quota = Quota()


STRANGER = Account(ANYONE, ANYONE, frozenset())  # before the settings open anything


class Key(msgspec.Struct, frozen=True):
    """A key without its letters."""

    id: str
    owner: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None  # None: never
    revoked_at: datetime | None


class Made(msgspec.Struct, frozen=True):
    """A new key, this once with its letters."""

    id: str
    key: str


class Change(msgspec.Struct, frozen=True):
    """What is to be other of an account; what is not named stays, None: as the settings say."""

    rate: Rate | UnsetType | None = UNSET
    streams_max: int | UnsetType | None = UNSET
    month_bytes_max: int | UnsetType | None = UNSET
    month_audio_s_max: float | UnsetType | None = UNSET
    stored_bytes_max: int | UnsetType | None = UNSET


SAME = Change()


class Accounts:
    """The accounts and keys of a database. What callers are looked up by is kept for a moment."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._forget()

    # looked up, by every request

    async def by_key(self, key: str) -> Account | None:
        """Whose key that is; None: nobody's. While the database is away, answers that are known go on.

        Raises StoreUnavailable.
        """
        hash_ = keying.hashed(key)
        if hash_ is None:
            return None

        async def ask() -> Account | None:
            query = (
                sa.select(accounts, keys.c.scopes)
                .join(keys, keys.c.account_id == accounts.c.id)
                .where(keys.c.hash == hash_, _good(self._database.now()))
            )
            async with self._database.reading() as tx:
                row = (await tx.execute(query)).one_or_none()
            return None if row is None else _account(row, _scopes(row.scopes))

        return await self._by_hash.get(hash_, ask, away=self._database.away)

    async def named(self, name: str) -> Account:
        """An account without scopes: what its row says of its limits, if it has one.

        While the database is away and was never asked, they are those of the settings.
        """

        async def ask() -> Account:
            async with self._database.reading() as tx:
                row = (await tx.execute(sa.select(accounts).where(accounts.c.id == name))).one_or_none()
            return Account(name, name, frozenset()) if row is None else _account(row, frozenset())

        try:
            return await self._by_name.get(name, ask, away=self._database.away)
        except StoreUnavailable:
            return Account(name, name, frozenset())

    async def keyed(self) -> bool:
        """Whether there are keys, or ever were. Raises StoreUnavailable where that was never known."""

        async def ask() -> bool:
            async with self._database.reading() as tx:
                return (await tx.execute(sa.select(keys.c.id).limit(1))).first() is not None

        return await self._keyed.get("", ask, away=self._database.away)

    # looked after, by the operator

    async def create(
        self, owner: str, scopes: Collection[Scope], *, change: Change = SAME, expires_s: float | None = None
    ) -> Made:
        """A new key of an account, which is made where there is none of that name. Raises BadRequest."""
        check_name(owner)
        if not scopes:
            raise BadRequest("A key has at least one scope.")
        async with self._database.transaction() as tx:
            await ensured(tx, self._database, [owner])
            await self._change(tx, owner, change)
            until = None if expires_s is None else self._database.now(expires_s)
            made = await self._made(tx, owner, frozenset(scopes), until)
        self._forget()
        return made

    async def rotate(self, id_: str, *, keep_s: float = 0) -> Made:
        """Another key in the place of one, which is good for a while yet. Raises NotFound."""
        now, over = self._database.now(), self._database.now(keep_s)
        sooner = sa.or_(keys.c.expires_at.is_(None), keys.c.expires_at > over)
        async with self._database.transaction() as tx:
            row = await self._key(tx, id_, _good(now))
            ending = keys.update().where(keys.c.id == row.id)
            if keep_s:
                await tx.execute(ending.where(sooner).values(expires_at=over))
            else:
                await tx.execute(ending.values(revoked_at=now))
            made = await self._made(tx, row.account_id, _scopes(row.scopes), row.expires_at)
        self._forget()
        return made

    async def revoke(self, id_: str) -> None:
        """Ends a key. Raises NotFound."""
        async with self._database.transaction() as tx:
            row = await self._key(tx, id_)
            ended = keys.update().where(keys.c.id == row.id, keys.c.revoked_at.is_(None))
            await tx.execute(ended.values(revoked_at=self._database.now()))
        self._forget()

    async def keys(self) -> tuple[Key, ...]:
        """All keys, the newest first."""
        query = sa.select(keys).order_by(keys.c.created_at.desc(), keys.c.id)
        async with self._database.reading() as tx:
            return tuple(_key(row) for row in await tx.execute(query))

    async def all(self) -> tuple[Account, ...]:
        """All accounts that have a row, by name; without scopes, which keys have."""
        async with self._database.reading() as tx:
            rows = await tx.execute(sa.select(accounts).order_by(accounts.c.id))
            return tuple(_account(row, frozenset()) for row in rows)

    async def change(self, name: str, change: Change) -> Account:
        """Changes what an account may; it is made where there is none. Raises BadRequest."""
        if name not in RESERVED:
            check_name(name)
        async with self._database.transaction() as tx:
            await ensured(tx, self._database, [name])
            await self._change(tx, name, change)
            row = (await tx.execute(sa.select(accounts).where(accounts.c.id == name))).one()
        self._forget()
        return _account(row, frozenset())

    def _forget(self) -> None:
        """This process knows at once of what it changes itself."""
        self._by_hash: _Kept[Account | None] = _Kept(self._clock)
        self._by_name: _Kept[Account] = _Kept(self._clock)
        self._keyed: _Kept[bool] = _Kept(self._clock)

    async def _change(self, tx: AsyncConnection, name: str, change: Change) -> None:
        values: dict[str, Any] = {}
        if change.rate is not UNSET:
            values["rate_capacity"] = None if change.rate is None else change.rate.capacity
            values["rate_refill_per_s"] = None if change.rate is None else change.rate.refill_per_s
        for field in ("streams_max", "month_bytes_max", "stored_bytes_max"):
            if (value := getattr(change, field)) is not UNSET:
                values[field] = value
        if change.month_audio_s_max is not UNSET:
            audio_s = change.month_audio_s_max
            values["month_audio_ms_max"] = None if audio_s is None else round(audio_s * 1000)
        if any(isinstance(one, int) and not 0 <= one < LIMIT_MAX for one in values.values()):
            raise BadRequest("A limit is 0 or more.")
        if values:
            await tx.execute(accounts.update().where(accounts.c.id == name).values(values))

    async def _made(
        self,
        tx: AsyncConnection,
        owner: str,
        scopes: frozenset[Scope],
        expires_at: sa.ColumnElement[datetime] | datetime | None,
    ) -> Made:
        key = keying.new()
        id_ = keying.named(key)
        row = {
            "id": id_, "account_id": owner, "hash": keying.hashed(key),
            "scopes": " ".join(sorted(scopes)), "created_at": self._database.now(),
            "expires_at": expires_at,
        }  # fmt: skip
        await tx.execute(keys.insert().values(row))
        return Made(id_, key)

    @staticmethod
    async def _key(tx: AsyncConnection, told: str, *also: sa.ColumnElement[bool]) -> sa.Row[Any]:
        query = sa.select(keys).where(keys.c.id == keying.named(told), *also)
        row = (await tx.execute(query)).one_or_none()
        if row is None:
            raise NotFound("There is no such key, or it has ended.")
        return row


async def ensured(tx: AsyncConnection, database: Database, names: Sequence[str]) -> None:
    """Sees to it that accounts have their row: those of the settings get it with what they first own."""
    rows = [
        {"id": name, "name": name, "kind": "named", "created_at": database.now()}
        for name in names
        if name != ANYONE
    ]
    for row in rows:
        insert = (sqlite if database.name == "sqlite" else postgresql).insert(accounts).values(row)
        await tx.execute(insert.on_conflict_do_nothing(index_elements=["id"]))


def check_name(name: str) -> None:
    """Raises BadRequest for what is no name of an account, or has a meaning of its own."""
    if not re.fullmatch(OWNER, name, re.ASCII):
        raise BadRequest(
            "An owner has 1 to 100 letters, digits, spaces or . _ @ + - and begins with a letter or digit;"
            f" {', '.join(RESERVED)} are taken."
        )


def _good(now: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    return sa.and_(keys.c.revoked_at.is_(None), sa.or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))


def _scopes(kept: str) -> frozenset[Scope]:
    return frozenset(one for one in SCOPES if one in kept.split())


def _account(row: sa.Row[Any], scopes: frozenset[Scope]) -> Account:
    rate = None
    if row.rate_capacity is not None and row.rate_refill_per_s is not None:
        rate = Rate(row.rate_capacity, row.rate_refill_per_s)
    audio_ms = row.month_audio_ms_max
    quota = Quota(row.month_bytes_max, None if audio_ms is None else audio_ms / 1000, row.stored_bytes_max)
    return Account(row.id, row.name, scopes, rate, row.streams_max, quota)


def _key(row: sa.Row[Any]) -> Key:
    return Key(row.id, row.account_id, _scopes(row.scopes), row.created_at, row.expires_at, row.revoked_at)


class _Entry(Generic[T]):
    __slots__ = ("until", "value")

    def __init__(self, value: T, until: float) -> None:
        self.value, self.until = value, until


class _Kept(Generic[T]):
    """Answers of the database for a moment; while it is away, for as long as there is room."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    async def get(self, name: str, ask: Callable[[], Awaitable[T]], *, away: bool) -> T:
        """An answer that still counts. Where it is too old, one asks, and others take it as it is meanwhile.

        Raises StoreUnavailable where there is none at all.
        """
        entry, now = self._entries.get(name), self._clock()
        if entry is not None:
            if away or now < entry.until:
                return entry.value
            entry.until = now + KEPT_S
        elif away:
            raise StoreUnavailable  # it is looked at by others: nobody waits here to learn that again
        try:
            value = await ask()
        except StoreUnavailable:
            if entry is None:
                raise
            return entry.value
        self._entries[name] = _Entry(value, self._clock() + KEPT_S)
        self._entries.move_to_end(name)
        if len(self._entries) > KEPT_MAX:
            self._entries.popitem(last=False)
        return value
