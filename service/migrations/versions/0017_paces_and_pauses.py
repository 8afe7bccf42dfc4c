"""The pace of operations, the members of replays, and who paused a schedule and why.

Revision: 0017
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("paced_at", Moment(), comment="since when it goes at this rate"))
    op.add_column("operations", sa.Column("paced_from", sa.Integer(), server_default="0", nullable=False, comment="members dealt with by then"))
    op.add_column("schedules", sa.Column("paused_at", Moment()))
    op.add_column("schedules", sa.Column("paused_by", sa.String(120), comment="the principal who paused it"))
    op.add_column("schedules", sa.Column("paused_reason", sa.Text(), comment="why, in the words of who paused it"))
    op.create_table(
        "operation_members",
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "job_id"),
    )
    if op.get_bind().dialect.name == "sqlite":  # where it was written without its zone
        op.execute("UPDATE operations SET started_at = replace(started_at, ' ', 'T') || 'Z' WHERE started_at LIKE '% %'")


def downgrade() -> None:
    op.drop_table("operation_members")
    for table, column in (
        ("schedules", "paused_reason"),
        ("schedules", "paused_by"),
        ("schedules", "paused_at"),
        ("operations", "paced_from"),
        ("operations", "paced_at"),
    ):
        op.drop_column(table, column)
