"""Transcripts by their post."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("transcripts_post_id_created_at", "transcripts", ["post_id", "created_at"])
