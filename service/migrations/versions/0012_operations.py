"""Operations: actions on all jobs that match a filter.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("action", sa.String(7), nullable=False, comment="replay, cancel, delete, run_now or change"),
        sa.Column("filter", sa.Text(), nullable=False, comment="JSON, as it was sent"),
        sa.Column("change", sa.Text(), comment="JSON: what `change` sets"),
        sa.Column("rate", sa.Double(), comment="members a second; null: as fast as it goes"),
        sa.Column("dry_run", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(9), nullable=False, comment="counting, running, stopped, succeeded or failed"),
        sa.Column("job_id", sa.String(255), comment="the job that carries it out; null: whoever accepted it does, for a moment"),
        sa.Column("runner_until", Moment(), comment="until when whoever accepted it carries it out"),
        sa.Column("principal", sa.String(64), comment="fingerprint of who asked for it"),
        sa.Column("matched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Text(), server_default="{}", nullable=False, comment="JSON: how many of `failed`, by reason"),
        sa.Column("cursor", sa.Text(), comment="JSON: the last member dealt with"),
        sa.Column("error", sa.Text(), comment="why it could not go on"),
        sa.Column("created_at", Moment(), nullable=False, comment="jobs enqueued later are not its members"),
        sa.Column("started_at", Moment()),
        sa.Column("finished_at", Moment()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("operations_by_created_at", "operations", ["created_at", "id"])
    live = sa.text("(state || '') IN ('counting', 'running')")
    op.create_index("operations_live", "operations", ["created_at"], postgresql_where=live, sqlite_where=live)
    op.create_table(
        "operation_failures",
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("message", sa.Text()),
        sa.PrimaryKeyConstraint("operation_id", "job_id"),
    )


def downgrade() -> None:
    for table in ("operation_failures", "operations"):
        op.drop_table(table)
