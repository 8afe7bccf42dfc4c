"""Steps and checkpoints: what attempts keep for those that follow.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("result", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name"),
    )
    op.create_table(
        "job_checkpoints",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
    )


def downgrade() -> None:
    for table in ("job_checkpoints", "job_steps"):
        op.drop_table(table)
