"""Flows and callbacks; jobs that wait for others; ids made by clients, retry policies of jobs, keys held beyond the end.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

from service.ledger.later_indexes import create, create_later, replace_later
from service.tables import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TERMINAL = "(state || '') IN ('succeeded', 'failed', 'cancelled')"
_LIVE = "unique_key IS NOT NULL AND state IN ({})"
_EXPIRING = "expires_at IS NOT NULL AND (state || '') IN ({})"
_BEFORE, _AFTER = "'scheduled', 'queued', 'retrying'", "'scheduled', 'blocked', 'queued', 'retrying'"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("traits", sa.Integer(), server_default="0", nullable=False, comment="what few jobs have, as bits: see traits.py"))
    op.add_column("jobs", sa.Column("blocked_by", sa.Integer(), comment="how many edges to it are open; null: it came after no other job"))
    op.add_column("jobs", sa.Column("flow", sa.String(36)))
    op.add_column("jobs", sa.Column("retry", sa.Text(), comment="JSON: the job's own retry policy; null: its kind's"))
    op.add_column("jobs", sa.Column("retry_until", Moment(), comment="no attempt begins later, once one has failed"))
    op.add_column("jobs", sa.Column("unique_for", sa.Double(), comment="seconds beyond its end for which it holds its unique key"))
    op.add_column("jobs", sa.Column("request_hash", sa.String(64), comment="SHA-256 of the request; where the client made the id"))
    op.add_column("job_listing", sa.Column("flow", sa.String(36)))
    op.add_column("job_listing", sa.Column("flow_name", sa.String(100), comment="the job's name in its flow; null: it joined later"))
    for name, column, where, unique in _of_unstarted(_AFTER):
        replace_later(name, "jobs", [column], where, unique=unique)
    create_later("jobs_blocked", "jobs", ["created_at", "id"], "(state || '') = 'blocked'")
    create_later("jobs_unique_for", "jobs", ["unique_key", "finished_at"], f"unique_for IS NOT NULL AND {_TERMINAL}")
    create_later("job_listing_by_flow", "job_listing", ["flow", "created_at", "job_id"], "flow IS NOT NULL")
    _create_edges()
    _create_flows()
    _create_callbacks()
    op.create_table(
        "followups",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("followups_by_since", "followups", ["since"])


def _of_unstarted(unstarted: str) -> list[tuple[str, str, str, bool]]:
    """Return the indexes that name the states of jobs that have not started."""
    return [
        ("jobs_unique_key", "unique_key", _LIVE.format(f"{unstarted}, 'running'"), True),
        ("jobs_expiring", "expires_at", _EXPIRING.format(unstarted), False),
    ]


def _create_edges() -> None:
    op.create_table(
        "job_edges",
        sa.Column("parent", sa.String(255), nullable=False),
        sa.Column("child", sa.String(255), nullable=False),
        sa.Column("run_when", sa.String(9), nullable=False, comment="succeeded, ended or attempted"),
        sa.Column("state", sa.String(6), nullable=False, comment="open, met or broken"),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False, comment="among the parents that the child named"),
        sa.PrimaryKeyConstraint("parent", "child"),
    )
    op.create_index("job_edges_by_child", "job_edges", ["child"])
    create("job_edges_open", "job_edges", ["parent", "child"], "(state || '') = 'open'")


def _create_flows() -> None:
    op.create_table(
        "flows",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("live", sa.Integer(), server_default="0", nullable=False, comment="jobs not ended; kept where it has callbacks"),
        sa.Column("traits", sa.Integer(), server_default="0", nullable=False, comment="callbacks, as bits: see traits.py"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("request_hash", sa.String(64), comment="SHA-256 of the request; where the client made the id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("flows_by_created_at", "flows", ["created_at", "id"])


def _create_callbacks() -> None:
    op.create_table(
        "callbacks",
        sa.Column("owner", sa.String(255), nullable=False, comment="a job's id, or a flow's"),
        sa.Column("event", sa.String(7), nullable=False, comment="success, failure or end"),
        sa.Column("template", sa.Text(), nullable=False, comment="JSON: the job to enqueue, without its id and times"),
        sa.PrimaryKeyConstraint("owner", "event"),
    )
    op.create_table(
        "callback_jobs",
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("event", sa.String(7), nullable=False),
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("recorded_at", Moment(), nullable=False, comment="when the owner ended"),
        sa.PrimaryKeyConstraint("owner", "event", "job_id"),
    )
    op.create_index("callback_jobs_by_job", "callback_jobs", ["job_id"])


def downgrade() -> None:
    for table in ("followups", "callback_jobs", "callbacks", "flows", "job_edges"):
        op.drop_table(table)
    op.drop_index("job_listing_by_flow", "job_listing")
    op.drop_index("jobs_unique_for", "jobs")
    op.drop_index("jobs_blocked", "jobs")
    for name, column, where, unique in _of_unstarted(_BEFORE):
        op.drop_index(name, "jobs")
        create(name, "jobs", [column], where, unique=unique)
    for name in ("flow_name", "flow"):
        op.drop_column("job_listing", name)
    for name in ("request_hash", "unique_for", "retry_until", "retry", "flow", "blocked_by", "traits"):
        op.drop_column("jobs", name)
