"""Jobs whose media are in a data folder; and jobs found by their transcript, or by a lease that is over."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("folder", sa.Text))
    op.create_index("jobs_transcript_id", "jobs", ["transcript_id"])
    leased = sa.text("lease_until IS NOT NULL")
    op.create_index("jobs_lapsing", "jobs", ["lease_until"], sqlite_where=leased, postgresql_where=leased)
