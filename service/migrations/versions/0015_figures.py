"""Figures: failures by group, and what happened in each minute.

Revision: 0015
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from service.ledger.later_indexes import create_later
from service.tables import Moment

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("fingerprint", sa.String(16), comment="the group of its latest failure; null: no attempt has failed"))
    op.add_column("attempts", sa.Column("fingerprint", sa.String(16), comment="the group of its failure; null: it did not fail"))
    op.add_column("jobs", sa.Column("due_since", Moment(), comment="when it came due at first, if it was tried again; null: run_at"))
    create_later("jobs_by_fingerprint", "jobs", ["fingerprint", "created_at", "id"], "fingerprint IS NOT NULL")
    op.create_table(
        "failure_groups",
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("writer", sa.String(64), nullable=False, comment="the process; '': processes long gone"),
        sa.Column("kind", sa.String(255), nullable=False, comment="what the jobs count as: their label, or else their kind"),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), comment="file:line of the innermost frame that is not a library's; null: unknown"),
        sa.Column("message", sa.Text(), nullable=False, comment="of the first failure"),
        sa.Column("first_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "writer"),
    )
    op.create_index("failure_groups_by_time", "failure_groups", ["first_at"])
    op.create_table(
        "failure_counts",
        sa.Column("bucket_at", Moment(), nullable=False, comment="the minute, later the hour"),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("writer", sa.String(64), nullable=False, comment="the process; '': merged"),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("jobs_failed", sa.BigInteger(), nullable=False),
        sa.Column("latest_at", Moment(), nullable=False),
        sa.Column("destination", sa.String(255), comment="the lane of the jobs' kind; '*': several; null: none"),
        sa.PrimaryKeyConstraint("bucket_at", "fingerprint", "writer"),
    )
    op.create_index("failure_counts_by_group", "failure_counts", ["fingerprint", "bucket_at"])
    op.create_table(
        "event_counts",
        sa.Column("kind", sa.String(255), nullable=False, comment="'': all kinds together"),
        sa.Column("event", sa.String(11), nullable=False),
        sa.Column("bucket_at", Moment(), nullable=False, comment="the minute, later the quarter of an hour"),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="of all time; no row: as in the one before"),
        sa.PrimaryKeyConstraint("kind", "event", "bucket_at"),
    )
    op.create_index("event_counts_by_time", "event_counts", ["bucket_at"])
    _begin_series()
    op.create_table(
        "levels",
        sa.Column("name", sa.String(130), nullable=False),
        sa.Column("at", Moment(), nullable=False, comment="ten seconds, later the minute, then ten minutes"),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "at"),
    )
    op.create_index("levels_by_time", "levels", ["at"])
    op.create_table(
        "durations",
        sa.Column("bucket_at", Moment(), nullable=False, comment="five minutes, later a quarter; the epoch: all that is merged"),
        sa.Column("kind", sa.String(255), nullable=False, comment="'': all kinds together"),
        sa.Column("measure", sa.String(8), nullable=False, comment="wait, run or total"),
        sa.Column("writer", sa.String(64), nullable=False, comment="the process; '': merged"),
        sa.Column("counts", sa.Text(), nullable=False, comment="JSON: how many in each bucket of the histogram"),
        sa.Column("sum_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bucket_at", "kind", "measure", "writer"),
    )


def _begin_series() -> None:
    """Let the series begin with what was counted until now: no minute of theirs has it."""
    op.execute(
        sa.text(
            "INSERT INTO event_counts (kind, event, bucket_at, total)"
            " SELECT kind, event, :began, sum(count) FROM tallies GROUP BY kind, event"
            " UNION ALL SELECT '', event, :began, sum(count) FROM tallies GROUP BY event"
        ).bindparams(sa.bindparam("began", datetime(1970, 1, 1, tzinfo=UTC), type_=Moment()))
    )


def downgrade() -> None:
    for table in ("durations", "levels", "event_counts", "failure_counts", "failure_groups"):
        op.drop_table(table)
    op.drop_column("attempts", "fingerprint")
    op.drop_index("jobs_by_fingerprint", "jobs")
    op.drop_column("jobs", "due_since")
    op.drop_column("jobs", "fingerprint")
