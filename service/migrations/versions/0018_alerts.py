"""Alerts: which troubles somebody was told of.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("key", sa.Text(), nullable=False, comment="the trouble's"),
        sa.Column("seen_at", Moment(), nullable=False, comment="when it was seen first, this time"),
        sa.Column("seen_last_at", Moment(), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("told_at", Moment(), comment="null: it has not lasted long enough"),
        sa.Column("over_at", Moment(), comment="null: it lasts"),
        sa.Column("told_over_at", Moment()),
        sa.Column("job_ids", sa.Text(), comment="JSON list of the jobs that tell of it"),
        sa.Column("direct_at", Moment(), comment="when it was told past the queue; null: it was not"),
        sa.PrimaryKeyConstraint("key", "seen_at"),
    )
    op.create_index("alerts_lasting", "alerts", ["key"], unique=True, postgresql_where=sa.text("over_at IS NULL"), sqlite_where=sa.text("over_at IS NULL"))


def downgrade() -> None:
    op.drop_table("alerts")
