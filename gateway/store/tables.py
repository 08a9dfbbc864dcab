"""The tables as they are now; the folder `migrations` has the steps that lead here.

Always: times are UTC, amounts are whole milliseconds of audio, and any text of Python can be kept.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table, UniqueConstraint, text

ANYONE = "anyone"  # the account of callers who have none; the first migration makes it

INDEX = "segments_index"  # the index of texts: SQLite's is a table, PostgreSQL's an index of that name

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_to_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)


class Moment(sa.TypeDecorator[datetime]):
    """A time. SQLite keeps no zone, and needs none: it is UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(sa.TypeDecorator[str]):
    """Text of any origin, without what PostgreSQL or UTF-8 cannot hold: NUL, halves of surrogates."""

    impl = sa.Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.replace("\0", "").encode("utf-8", "ignore").decode()


def encoded(value: Any) -> str:
    """A value as a column of JSON keeps it."""
    return msgspec.json.encode(value).decode()


def decoded(kept: str) -> Any:
    """And back, as lists, dicts and what they hold."""
    return msgspec.json.decode(kept)


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER counts up by itself there

accounts = Table(
    "accounts",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    # what it may, where that is not what the settings say
    Column("rate_capacity", sa.Integer),
    Column("rate_refill_per_s", sa.Double),
    Column("streams_max", sa.Integer),
    Column("month_bytes_max", sa.BigInteger),
    Column("month_audio_ms_max", sa.BigInteger),
    Column("stored_bytes_max", sa.BigInteger),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("hash", Words, nullable=False, unique=True),
    Column("scopes", Words, nullable=False),  # with spaces between
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),  # the row stays: a server that had a key does not stand open without
    Index(None, "account_id"),
)

usage = Table(
    "usage",
    metadata,
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("month", Words, primary_key=True),  # 2026-11, of UTC
    Column("bytes_out", sa.BigInteger, nullable=False),
    Column("audio_ms", sa.BigInteger, nullable=False),
)

transcripts = Table(
    "transcripts",
    metadata,
    Column("id", Words, primary_key=True),  # not to be guessed: who knows it may read
    Column("owner", ForeignKey("accounts.id"), nullable=False),  # who asked first; who has it: below
    Column("state", Words, nullable=False),
    Column("title", Words),
    # where it comes from
    Column("url", Words),
    Column("post_id", Words),
    Column("sound_id", Words),
    Column("media_sha256", Words),
    Column("file_name", Words),
    # how it was made
    Column("source", Words),
    Column("captions", Words),
    Column("language", Words),
    Column("language_probability", sa.Double),
    Column("model", Words),
    Column("options", sa.JSON(none_as_null=True)),
    # what came of it
    Column("duration_ms", sa.BigInteger),
    Column("announced_ms", sa.BigInteger),  # the duration that its first event told
    Column("text", Words),
    Column("text_sha256", Words),
    Column("speech", Words),
    Column("reasons", sa.JSON(none_as_null=True)),
    Column("elapsed_ms", sa.BigInteger),
    Column("bytes", sa.BigInteger),  # of its text and segments, about
    Column("error_code", Words),
    Column("error_text", Words),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
    CheckConstraint("state IN ('RUNNING', 'COMPLETE', 'FAILED')", name="state"),
    Index(None, "created_at", "id"),  # lists of all, and what is too old
    Index(None, "owner", "created_at", "id"),
    Index(None, "post_id", "created_at"),  # whether a post was heard before
)

transcript_owners = Table(
    "transcript_owners",
    metadata,
    Column("owner", ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("transcript_id", ForeignKey("transcripts.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "transcript_id"),
)

segments = Table(
    "segments",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),  # what SQLite's index of texts refers to
    Column("transcript_id", ForeignKey("transcripts.id", ondelete="CASCADE"), nullable=False),
    Column("number", sa.Integer, nullable=False),
    Column("start_ms", sa.BigInteger, nullable=False),
    Column("end_ms", sa.BigInteger, nullable=False),
    Column("text", Words, nullable=False),
    Column("folded", Words, nullable=False),  # the text as it is searched for
    Column("avg_logprob", sa.Double),
    Column("no_speech_prob", sa.Double),
    Column("compression_ratio", sa.Double),
    Column("words", sa.JSON(none_as_null=True)),
    UniqueConstraint("transcript_id", "number"),
)

codes = Table(
    "codes",
    metadata,
    Column("id", Words, primary_key=True),
    Column("hash", Words, nullable=False, unique=True),
    Column("worth_ms", sa.BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    # the hold that has it now, or that spent it: this row alone decides who has a code
    Column("hold_id", Words, unique=True),
    Column("lease_until", Moment),
    Column("price_ms", sa.BigInteger),
    Column("spent_at", Moment),
    Column("transcript_id", ForeignKey("transcripts.id", ondelete="SET NULL")),
    CheckConstraint("worth_ms >= 0", name="worth"),
    CheckConstraint("spent_at IS NULL OR hold_id IS NOT NULL", name="spent"),
    Index(None, "created_at", "id"),
    Index(None, "transcript_id"),
    Index("codes_lapsing", "lease_until", sqlite_where=text("spent_at IS NULL AND hold_id IS NOT NULL"),
          postgresql_where=text("spent_at IS NULL AND hold_id IS NOT NULL")),
)  # fmt: skip

holds = Table(
    "holds",
    metadata,
    Column("id", Words, primary_key=True),
    Column("code_id", ForeignKey("codes.id", ondelete="CASCADE"), nullable=False),
    Column("state", Words, nullable=False),
    Column("price_ms", sa.BigInteger),
    Column("transcript_id", ForeignKey("transcripts.id", ondelete="SET NULL")),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
    CheckConstraint("state IN ('HELD', 'POSTED', 'VOIDED', 'EXPIRED')", name="state"),
    Index(None, "code_id"),
    Index(None, "transcript_id"),
    # what the rows of codes see to, once more: a code has one hold that lives or was posted
    Index("holds_one", "code_id", unique=True, sqlite_where=text("state IN ('HELD', 'POSTED')"),
          postgresql_where=text("state IN ('HELD', 'POSTED')")),
)  # fmt: skip

# what was counted, by all gateways together
totals = Table(
    "totals",
    metadata,
    Column("id", Words, primary_key=True),
    Column("value", sa.BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", ForeignKey("accounts.id"), nullable=False),
    Column("kind", Words, nullable=False),
    Column("transcript_id", Words),  # known before its row is written, and after it is gone
    Column("state", Words, nullable=False),
    Column("payload", sa.JSON, nullable=False),
    Column("idempotency_key", Words),
    Column("waiting", sa.Boolean, nullable=False),  # somebody waits for it on a connection
    Column("folder", Words),  # the data folder that has its media; none: any process may work on it
    Column("attempts", sa.Integer, nullable=False),
    Column("lease_owner", Words),
    Column("lease_until", Moment),
    Column("error_code", Words),
    Column("error_text", Words),
    Column("webhook_url", Words),
    Column("webhook_state", Words),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    CheckConstraint("state IN ('PENDING', 'RUNNING', 'COMPLETE', 'FAILED', 'CANCELLED')", name="state"),
    CheckConstraint("webhook_state IN ('OWED', 'TOLD', 'FAILED')", name="webhook_state"),
    UniqueConstraint("owner", "idempotency_key"),
    Index(None, "state", "created_at", "id"),  # what is next, what failed, how many
    Index(None, "created_at", "id"),
    Index(None, "owner", "created_at", "id"),
    Index(None, "transcript_id"),
    Index("jobs_lapsing", "lease_until", sqlite_where=text("lease_until IS NOT NULL"),
          postgresql_where=text("lease_until IS NOT NULL")),
    Index("jobs_owed", "ended_at", sqlite_where=text("webhook_state = 'OWED'"),
          postgresql_where=text("webhook_state = 'OWED'")),
)  # fmt: skip
