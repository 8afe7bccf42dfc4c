"""What attempts and workers leave behind for readers.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("enqueued_by", sa.String(120), comment="the principal whose request made it; null: nobody was asked"))
    op.add_column("attempts", sa.Column("exchange", sa.Text(), comment="JSON: what was sent to whom, and what came back; null: nothing is known"))
    op.add_column("workers", sa.Column("version", sa.String(64), comment="of the product or, by POSTLUDE_VERSION, of what is deployed with it"))
    op.add_column("workers", sa.Column("memory_bytes", sa.BigInteger(), comment="resident, at its latest heartbeat"))
    op.add_column("workers", sa.Column("drain_at", Moment(), comment="since when it is to take no new jobs"))
    op.add_column("workers", sa.Column("rescued", sa.Integer(), nullable=False, server_default="0", comment="jobs that others took over at its death"))
    op.add_column("workers", sa.Column("forgotten_at", Moment(), comment="dead, and no longer shown: a user has seen it"))
    op.create_table(
        "log_lines",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="from 1, within the attempt"),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, comment="what was said, without secrets"),
        sa.Column("names", sa.Text(), comment="JSON object of what was said with it; null: nothing"),
        sa.PrimaryKeyConstraint("job_id", "attempt", "number"),
    )
    op.create_table(
        "stack_wishes",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("wished_at", Moment(), nullable=False),
        sa.Column("taken_at", Moment(), comment="null: not yet"),
        sa.Column("stack", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "attempt"),
    )
    op.create_index("ix_stack_wishes_worker", "stack_wishes", ["worker"])


def downgrade() -> None:
    for table in ("stack_wishes", "log_lines"):
        op.drop_table(table)
    for table, column in (
        ("workers", "forgotten_at"),
        ("workers", "rescued"),
        ("workers", "drain_at"),
        ("workers", "memory_bytes"),
        ("workers", "version"),
        ("attempts", "exchange"),
        ("jobs", "enqueued_by"),
    ):
        op.drop_column(table, column)
