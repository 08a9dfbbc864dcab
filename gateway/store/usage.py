"""What accounts have used: counted in memory, and added to rows behind the answer.

Always: nobody waits for a count to be written; what is not written yet counts here already; one month of
UTC knows nothing of another.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import QuotaExceeded, StoreUnavailable
from gateway.store import behind
from gateway.store.accounts import Account, Quota, ensured
from gateway.store.database import Database
from gateway.store.tables import ANYONE, transcript_owners, transcripts, usage

WRITE_S = 5.0
CLOSE_S = 5.0  # as transcripts have
KEPT_S = 10.0  # how long a sum of the database counts: other gateways add to it
STORED_AGAIN_S = 3600  # when there is room again only the caller knows, who may remove something

log = structlog.get_logger()


class Used(msgspec.Struct, frozen=True):
    """How much that is; `stored_bytes` as it is now."""

    bytes_out: int = 0
    audio_ms: int = 0
    stored_bytes: int = 0


NOTHING = Used()
NO_QUOTA = Quota()


class _Kept(msgspec.Struct):
    """Sums of the database; they count until then."""

    used: Used
    month: str
    until: float


class Usage:
    """The counts of all accounts. `quota` is that of accounts whose row says nothing else."""

    def __init__(
        self,
        database: Database,
        quota: Quota = NO_QUOTA,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._quota = quota
        self._now = now
        self._clock = clock
        self._counted: dict[tuple[str, str], Used] = {}  # by account and month: what no row has yet
        self._kept: dict[str, _Kept] = {}

    # counted

    def sent(self, account: str, count: int) -> None:
        """So many bytes went to an account."""
        if count:
            self._add((account, self._month()), Used(bytes_out=count))

    def heard(self, account: str, seconds: float) -> None:
        """So much audio was recognised for an account."""
        self._add((account, self._month()), Used(audio_ms=round(seconds * 1000)))

    # asked

    async def check(self, account: Account, *, speech: bool) -> None:
        """Raises QuotaExceeded where an account has nothing left: of bytes, or for `speech` of the rest too.

        While the database is away, what is known of it counts.
        """
        quota = self._of(account)
        bytes_max = quota.month_bytes_max
        audio_s_max = quota.month_audio_s_max if speech else None
        stored_max = quota.stored_bytes_max if speech else None
        if bytes_max is None and audio_s_max is None and stored_max is None:
            return
        used = await self.used(account.id)
        if bytes_max is not None and used.bytes_out >= bytes_max:
            raise self._over("bytes of this month are")
        if audio_s_max is not None and used.audio_ms >= audio_s_max * 1000:
            raise self._over("audio of this month is")
        if stored_max is not None and used.stored_bytes >= stored_max:
            raise QuotaExceeded(
                "The room for this account's transcripts is used up. Remove some.",
                retry_after_s=STORED_AGAIN_S,
            )

    async def used(self, account: str) -> Used:
        """What an account has used in this month."""
        month = self._month()
        kept = self._kept.get(account)
        if kept is None or kept.month != month or kept.until <= self._clock():
            if kept is not None:
                kept.until = self._clock() + KEPT_S  # others take it as it is meanwhile
            with suppress(StoreUnavailable):
                if not self._database.away:
                    kept = self._kept[account] = _Kept(
                        await self._read(account, month), month, self._clock() + KEPT_S
                    )
        known = kept.used if kept is not None and kept.month == month else NOTHING
        return _sum(known, self._counted.get((account, month), NOTHING))

    # written

    async def run(self) -> None:
        """Writes for as long as the gateway runs."""
        await behind.every(WRITE_S, self.write, "usage was")

    async def write(self) -> None:
        """Adds what was counted to the rows. Raises StoreUnavailable; then it goes on being counted here."""
        taken = dict(self._counted)
        if not taken:
            return
        async with self._database.transaction() as tx:
            await ensured(tx, self._database, sorted({account for account, _ in taken}))
            for (account, month), used in sorted(taken.items()):  # in one order: nobody waits in a ring
                row = {
                    "account_id": account, "month": month,
                    "bytes_out": used.bytes_out, "audio_ms": used.audio_ms,
                }  # fmt: skip
                insert = (sqlite if self._database.name == "sqlite" else postgresql).insert(usage).values(row)
                more = {
                    name: usage.c[name] + insert.excluded[name] for name in ("bytes_out", "audio_ms")
                }  # fmt: skip
                await tx.execute(
                    insert.on_conflict_do_update(index_elements=["account_id", "month"], set_=more)
                )
        for (account, month), used in taken.items():
            left = _sum(self._counted.pop((account, month)), used, sign=-1)
            if left != NOTHING:
                self._counted[account, month] = left
            kept = self._kept.get(account)
            if kept is not None and kept.month == month:
                kept.used = _sum(kept.used, used)

    async def close(self) -> None:
        """Writes what is left, within a deadline; `run` has ended."""
        await behind.last(self.write, CLOSE_S)
        if self._counted:
            log.error("usage is lost: the database did not take it", accounts=len(self._counted))

    async def _read(self, account: str, month: str) -> Used:
        counted = sa.select(usage).where(usage.c.account_id == account, usage.c.month == month)
        stored = (
            sa.select(sa.func.coalesce(sa.func.sum(transcripts.c.bytes), 0))
            .join(transcript_owners, transcript_owners.c.transcript_id == transcripts.c.id)
            .where(transcript_owners.c.owner == account)
        )
        async with self._database.reading() as tx:
            row = (await tx.execute(counted)).one_or_none()
            stored_bytes = int((await tx.execute(stored)).scalar_one())
        return (
            Used(stored_bytes=stored_bytes)
            if row is None
            else Used(row.bytes_out, row.audio_ms, stored_bytes)
        )

    def _of(self, account: Account) -> Quota:
        """Strangers are one account, which any of them could use up: they have no quota unless it is set."""
        own, usual = account.quota, NO_QUOTA if account.id == ANYONE else self._quota
        return Quota(
            usual.month_bytes_max if own.month_bytes_max is None else own.month_bytes_max,
            usual.month_audio_s_max if own.month_audio_s_max is None else own.month_audio_s_max,
            usual.stored_bytes_max if own.stored_bytes_max is None else own.stored_bytes_max,
        )

    def _add(self, key: tuple[str, str], used: Used) -> None:
        before = self._counted.get(key)
        self._counted[key] = used if before is None else _sum(before, used)

    def _month(self) -> str:
        now = self._now()
        return f"{now.year}-{now.month:02}"

    def _over(self, what: str) -> QuotaExceeded:
        now = self._now()
        following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        return QuotaExceeded(
            f"The {what} used up.", retry_after_s=max(1, math.ceil((following - now).total_seconds()))
        )


def _sum(one: Used, other: Used, sign: int = 1) -> Used:
    return Used(
        one.bytes_out + sign * other.bytes_out,
        one.audio_ms + sign * other.audio_ms,
        one.stored_bytes + sign * other.stored_bytes,
    )
