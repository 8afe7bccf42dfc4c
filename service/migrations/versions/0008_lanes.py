"""Lanes: which ones a job is in, and in what order; what was said of lanes at run time; and the fence of their starts.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

from service.ledger.later_indexes import create_later
from service.tables import Moment

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
_LIVE = "(state || '') IN ('scheduled', 'queued', 'retrying', 'running')"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("lane", _KEY, comment="named by the request"))
    op.add_column("jobs", sa.Column("kind_lane", _KEY, comment="derived by the kind from the args"))
    op.add_column("jobs", sa.Column("lane_limits", sa.Text(), comment="JSON: what the request and the kind said of each lane; see lane_rules.py"))
    op.add_column("jobs", sa.Column("lane_seq", sa.BigInteger(), comment="the order in its lanes; null: the job is in none"))
    for lane in ("lane", "kind_lane"):
        op.add_column("job_listing", sa.Column(lane, _KEY))
        create_later(f"jobs_in_{lane}", "jobs", [lane, "lane_seq"], f"{lane} IS NOT NULL AND {_LIVE}")
        create_later(f"job_listing_by_{lane}", "job_listing", [lane, "created_at", "job_id"], f"{lane} IS NOT NULL")
    _create_lanes()
    op.create_table(
        "lanes_epoch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("epoch", sa.String(255), nullable=False, comment="for which Redis' lanes were built: a start of another is refused"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "lane_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("latest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(sa.Sequence("lane_sequence")))


def _create_lanes() -> None:
    op.create_table(
        "lanes",
        sa.Column("key", _KEY, nullable=False, comment="a lane, a pattern of lanes, kind:<name> or queue:<name>"),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("rate_limit", sa.Integer()),
        sa.Column("rate_per_s", sa.Double()),
        sa.Column("strict", sa.Integer(), server_default="0", nullable=False),
        sa.Column("paused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("paused_until", Moment(), comment="null: until it is resumed"),
        sa.Column("breaker_state", sa.String(9), server_default="closed", nullable=False, comment="closed, open or half_open"),
        sa.Column("breaker_forced", sa.String(6), comment="open or closed, by a user"),
        sa.Column("breaker_until", Moment(), comment="when an open breaker lets one job try"),
        sa.Column("breaker_step", sa.Integer(), server_default="0", nullable=False, comment="how often it opened since it was closed"),
        sa.Column("breaker_reason", sa.Text()),
        sa.Column("updated_at", Moment(), nullable=False, comment="when a user changed it"),
        sa.PrimaryKeyConstraint("key"),
    )


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(sa.schema.DropSequence(sa.Sequence("lane_sequence")))
    for table in ("lane_counter", "lanes_epoch", "lanes"):
        op.drop_table(table)
    for lane in ("kind_lane", "lane"):
        op.drop_index(f"job_listing_by_{lane}", "job_listing")
        op.drop_index(f"jobs_in_{lane}", "jobs")
        op.drop_column("job_listing", lane)
    for name in ("lane_seq", "lane_limits", "kind_lane", "lane"):
        op.drop_column("jobs", name)
