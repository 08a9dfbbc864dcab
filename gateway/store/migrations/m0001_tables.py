"""The first tables: accounts, transcripts and their segments, codes and their holds, jobs."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _accounts()
    _transcripts()
    _segments()
    _codes()
    _holds()
    _jobs()
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_index()
    else:
        _postgresql_index()


def _accounts() -> None:
    accounts = op.create_table(
        "accounts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="accounts_key"),
    )
    row = {"id": "anyone", "name": "callers without an account", "kind": "anonymous"}
    op.bulk_insert(accounts, [row | {"created_at": datetime.now(UTC)}])


def _transcripts() -> None:
    op.create_table(
        "transcripts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("post_id", sa.Text),
        sa.Column("sound_id", sa.Text),
        sa.Column("media_sha256", sa.Text),
        sa.Column("file_name", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("captions", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("language_probability", sa.Double),
        sa.Column("model", sa.Text),
        sa.Column("options", sa.JSON),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("text", sa.Text),
        sa.Column("text_sha256", sa.Text),
        sa.Column("speech", sa.Text),
        sa.Column("reasons", sa.JSON),
        sa.Column("elapsed_ms", sa.BigInteger),
        sa.Column("error_code", sa.Text),
        sa.Column("error_text", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="transcripts_key"),
        sa.ForeignKeyConstraint(["owner"], ["accounts.id"], name="transcripts_owner_to_accounts"),
        sa.CheckConstraint("state IN ('RUNNING', 'COMPLETE', 'FAILED')", name="transcripts_state"),
    )
    op.create_index("transcripts_created_at_id", "transcripts", ["created_at", "id"])
    op.create_index("transcripts_owner_created_at_id", "transcripts", ["owner", "created_at", "id"])


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("transcript_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("end_ms", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("avg_logprob", sa.Double),
        sa.Column("no_speech_prob", sa.Double),
        sa.Column("compression_ratio", sa.Double),
        sa.Column("words", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="segments_key"),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], ondelete="CASCADE",
            name="segments_transcript_id_to_transcripts",
        ),
        sa.UniqueConstraint("transcript_id", "number", name="segments_transcript_id_number_unique"),
    )  # fmt: skip


def _codes() -> None:
    op.create_table(
        "codes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("worth_ms", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.Column("hold_id", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("price_ms", sa.BigInteger),
        sa.Column("spent_at", MOMENT),
        sa.Column("transcript_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="codes_key"),
        sa.UniqueConstraint("hash", name="codes_hash_unique"),
        sa.UniqueConstraint("hold_id", name="codes_hold_id_unique"),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], ondelete="SET NULL",
            name="codes_transcript_id_to_transcripts",
        ),
        sa.CheckConstraint("worth_ms >= 0", name="codes_worth"),
        sa.CheckConstraint("spent_at IS NULL OR hold_id IS NOT NULL", name="codes_spent"),
    )  # fmt: skip
    op.create_index("codes_created_at_id", "codes", ["created_at", "id"])
    op.create_index("codes_transcript_id", "codes", ["transcript_id"])
    _index_of_some("codes_lapsing", "codes", ["lease_until"], "spent_at IS NULL AND hold_id IS NOT NULL")


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("code_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("price_ms", sa.BigInteger),
        sa.Column("transcript_id", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="holds_key"),
        sa.ForeignKeyConstraint(
            ["code_id"], ["codes.id"], ondelete="CASCADE", name="holds_code_id_to_codes"
        ),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], ondelete="SET NULL",
            name="holds_transcript_id_to_transcripts",
        ),
        sa.CheckConstraint("state IN ('HELD', 'POSTED', 'VOIDED', 'EXPIRED')", name="holds_state"),
    )  # fmt: skip
    op.create_index("holds_code_id", "holds", ["code_id"])
    op.create_index("holds_transcript_id", "holds", ["transcript_id"])
    _index_of_some("holds_one", "holds", ["code_id"], "state IN ('HELD', 'POSTED')", unique=True)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("transcript_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("error_code", sa.Text),
        sa.Column("error_text", sa.Text),
        sa.Column("webhook_url", sa.Text),
        sa.Column("webhook_state", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="jobs_key"),
        sa.ForeignKeyConstraint(["owner"], ["accounts.id"], name="jobs_owner_to_accounts"),
        sa.UniqueConstraint("owner", "idempotency_key", name="jobs_owner_idempotency_key_unique"),
        sa.CheckConstraint(
            "state IN ('PENDING', 'RUNNING', 'COMPLETE', 'FAILED', 'CANCELLED')", name="jobs_state"
        ),
        sa.CheckConstraint("webhook_state IN ('OWED', 'TOLD', 'FAILED')", name="jobs_webhook_state"),
    )
    op.create_index("jobs_state_created_at_id", "jobs", ["state", "created_at", "id"])
    op.create_index("jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("jobs_owner_created_at_id", "jobs", ["owner", "created_at", "id"])
    _index_of_some("jobs_owed", "jobs", ["ended_at"], "webhook_state = 'OWED'")


def _index_of_some(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    rows = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=rows, postgresql_where=rows)


def _sqlite_index() -> None:
    """Trigrams of the folded texts, which the table's triggers keep in step: also for a cascade."""
    op.execute(
        "CREATE VIRTUAL TABLE segments_index USING fts5 "
        "(folded, content='segments', content_rowid='id', tokenize='trigram case_sensitive 1')"
    )
    gone = "INSERT INTO segments_index (segments_index, rowid, folded) VALUES ('delete', old.id, old.folded)"
    come = "INSERT INTO segments_index (rowid, folded) VALUES (new.id, new.folded)"
    for event, what in (("INSERT", come), ("DELETE", gone), ("UPDATE OF id, folded", f"{gone}; {come}")):
        name = event.split()[0].lower()
        op.execute(f"CREATE TRIGGER segments_{name} AFTER {event} ON segments BEGIN {what}; END")


def _postgresql_index() -> None:
    """The same by pg_trgm, where it may be had without a superuser; without it, texts are read through."""
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            connection.exec_driver_sql(
                "CREATE INDEX segments_index ON segments USING gin (folded gin_trgm_ops)"
            )
    except DBAPIError as refused:
        if getattr(refused.orig, "sqlstate", None) not in ("42501", "0A000", "58P01", "42704"):
            raise
