"""Keys of accounts, what each account may and has used, and who has a transcript: there may be several."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _accounts()
    _keys()
    _usage()
    _owners()


def _accounts() -> None:
    for name, kind in (
        ("rate_capacity", sa.Integer),
        ("rate_refill_per_s", sa.Double),
        ("streams_max", sa.Integer),
        ("month_bytes_max", sa.BigInteger),
        ("month_audio_ms_max", sa.BigInteger),
        ("stored_bytes_max", sa.BigInteger),
    ):
        op.add_column("accounts", sa.Column(name, kind))


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="keys_key"),
        sa.UniqueConstraint("hash", name="keys_hash_unique"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], ondelete="CASCADE", name="keys_account_id_to_accounts"
        ),
    )
    op.create_index("keys_account_id", "keys", ["account_id"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.Column("audio_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "month", name="usage_key"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], ondelete="CASCADE", name="usage_account_id_to_accounts"
        ),
    )


def _owners() -> None:
    """Who has a transcript already is its owner; its size is about that of its text, told twice."""
    op.create_table(
        "transcript_owners",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("transcript_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "transcript_id", name="transcript_owners_key"),
        sa.ForeignKeyConstraint(
            ["owner"], ["accounts.id"], ondelete="CASCADE", name="transcript_owners_owner_to_accounts"
        ),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], ondelete="CASCADE",
            name="transcript_owners_transcript_id_to_transcripts",
        ),
    )  # fmt: skip
    op.create_index("transcript_owners_transcript_id", "transcript_owners", ["transcript_id"])
    op.execute("INSERT INTO transcript_owners (owner, transcript_id) SELECT owner, id FROM transcripts")
    op.add_column("transcripts", sa.Column("bytes", sa.BigInteger))
    op.execute("UPDATE transcripts SET bytes = 2 * coalesce(length(text), 0)")
