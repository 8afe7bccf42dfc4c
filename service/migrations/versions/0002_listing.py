"""What lists are ordered by, in a table of its own: state changes of jobs write to fewer indexes.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEXES = {"jobs_newest": [], "jobs_by_kind": ["kind"], "jobs_by_queue": ["queue"]}


def upgrade() -> None:
    op.create_table(
        "job_listing",
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("created_at", "job_id"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO job_listing (created_at, job_id, kind, queue) SELECT created_at, id, kind, queue FROM jobs")
    op.create_index("job_listing_by_kind", "job_listing", ["kind", "created_at", "job_id"])
    op.create_index("job_listing_by_queue", "job_listing", ["queue", "created_at", "job_id"])
    for name in _INDEXES:
        op.drop_index(name, table_name="jobs")


def downgrade() -> None:
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", [*columns, "created_at", "id"])
    op.drop_table("job_listing")
