"""The duration that the first event of a transcript told, beside the one that was heard."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("transcripts", sa.Column("announced_ms", sa.BigInteger))
