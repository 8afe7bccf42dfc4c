"""What pages tell of lanes: how many jobs were started, and when breakers held them.

Revision: 0019
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEY = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "lane_starts",
        sa.Column("lane", _KEY, nullable=False),
        sa.Column("bucket_at", Moment(), nullable=False, comment="five minutes"),
        sa.Column("writer", sa.String(64), nullable=False, comment="the process"),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "bucket_at", "writer"),
    )
    op.create_index("lane_starts_by_time", "lane_starts", ["bucket_at"])
    op.create_table(
        "lane_holds",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("held_at", Moment(), nullable=False),
        sa.Column("over_at", Moment(), comment="null: it still holds"),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("lane_holds_by_end", "lane_holds", ["over_at"])


def downgrade() -> None:
    for table in ("lane_holds", "lane_starts"):
        op.drop_table(table)
