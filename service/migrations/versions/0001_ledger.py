"""The ledger, and the counters of update_stats.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(length=11), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False, comment="SHA-256 of the request"),
        sa.Column("answer", sa.Text(), nullable=True, comment="the body answered; null: the job as it is now"),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"], unique=False)
    op.create_table(
        "job_tags",
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("tag", "created_at", "job_id"),
    )
    op.create_index(op.f("ix_job_tags_job_id"), "job_tags", ["job_id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("args", sa.Text(), nullable=False, comment="JSON as shown to readers: secrets masked"),
        sa.Column("sealed_args", sa.Text(), nullable=True, comment="JSON with the secrets, where the kind has any"),
        sa.Column("result", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="the fence: number of the latest attempt",
        ),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=True, comment="null: the kind's"),
        sa.Column("progress_done", sa.Integer(), nullable=True),
        sa.Column("progress_total", sa.Integer(), nullable=True),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False, comment="JSON list of text"),
        sa.Column("unique_key", sa.String(length=255), nullable=True),
        sa.Column(
            "arq_id",
            sa.String(length=255),
            nullable=True,
            comment="adopted from a plain arq client: the id it knows the job by",
        ),
        sa.Column("worker", sa.String(length=64), nullable=True, comment="who runs it, or ran it last"),
        sa.Column("cancel_requested_at", Moment(), nullable=True),
        sa.Column(
            "dispatch_epoch",
            sa.String(length=64),
            server_default="",
            nullable=False,
            comment="'': not known to be on the queue",
        ),
        sa.Column("run_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "jobs_by_arq_id",
        "jobs",
        ["arq_id"],
        unique=False,
        postgresql_where=sa.text("arq_id IS NOT NULL"),
        sqlite_where=sa.text("arq_id IS NOT NULL"),
    )
    op.create_index("jobs_by_kind", "jobs", ["kind", "created_at", "id"], unique=False)
    op.create_index("jobs_by_queue", "jobs", ["queue", "created_at", "id"], unique=False)
    op.create_index("jobs_by_state", "jobs", ["state", "created_at", "id"], unique=False)
    op.create_index(
        "jobs_due",
        "jobs",
        ["run_at"],
        unique=False,
        postgresql_where=sa.text("(state || '') IN ('scheduled', 'retrying')"),
        sqlite_where=sa.text("(state || '') IN ('scheduled', 'retrying')"),
    )
    op.create_index(
        "jobs_expiring",
        "jobs",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL AND (state || '') IN ('scheduled', 'queued', 'retrying')"),
        sqlite_where=sa.text("expires_at IS NOT NULL AND (state || '') IN ('scheduled', 'queued', 'retrying')"),
    )
    op.create_index(
        "jobs_finished",
        "jobs",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("(state || '') IN ('succeeded', 'failed', 'cancelled')"),
        sqlite_where=sa.text("(state || '') IN ('succeeded', 'failed', 'cancelled')"),
    )
    op.create_index("jobs_newest", "jobs", ["created_at", "id"], unique=False)
    op.create_index(
        "jobs_running",
        "jobs",
        ["worker"],
        unique=False,
        postgresql_where=sa.text("(state || '') = 'running'"),
        sqlite_where=sa.text("(state || '') = 'running'"),
    )
    op.create_index(
        "jobs_by_epoch",
        "jobs",
        ["dispatch_epoch", "run_at", "id"],
        unique=False,
        postgresql_where=sa.text("(state || '') IN ('scheduled', 'queued', 'retrying')"),
        sqlite_where=sa.text("(state || '') IN ('scheduled', 'queued', 'retrying')"),
    )
    op.create_index(
        "jobs_unique_key",
        "jobs",
        ["unique_key"],
        unique=True,
        postgresql_where=sa.text("unique_key IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying', 'running')"),
        sqlite_where=sa.text("unique_key IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying', 'running')"),
    )
    op.create_table(
        "sweep_lease",
        sa.Column(
            "id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1: one leader sweeps"
        ),
        sa.Column("leader", sa.String(length=64), nullable=False),
        sa.Column("leased_until", Moment(), nullable=False),
        sa.Column(
            "epoch",
            sa.String(length=64),
            nullable=True,
            comment="the queue's, at the last pass that left nothing to mend",
        ),
        sa.Column("swept_at", Moment(), nullable=True, comment="when that pass was"),
        sa.Column(
            "swept_since",
            Moment(),
            nullable=True,
            comment="since when such passes have followed each other without a gap",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tallies",
        sa.Column(
            "writer", sa.String(length=64), nullable=False, comment="the process that counted; '': processes long gone"
        ),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("event", sa.String(length=11), nullable=False, comment="enqueued, started, retried, a terminal state, ..."),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "kind", "event"),
    )
    op.create_table(
        "ticks",
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False, comment="the kind's expression at that time"),
        sa.PrimaryKeyConstraint("kind", "due_at"),
    )
    op.create_index("ticks_by_due_at", "ticks", ["due_at"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column(
            "kinds", sa.Text(), server_default="[]", nullable=False, comment="JSON list of the kinds it knows"
        ),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("heartbeat_at", Moment(), nullable=False),
        sa.Column("beating_since", Moment(), nullable=False, comment="since when without a gap: who may rescue others"),
        sa.Column(
            "loop_lag_s",
            sa.Double(),
            server_default="0",
            nullable=False,
            comment="how long its event loop is blocked",
        ),
        sa.Column("ended_at", Moment(), nullable=True, comment="stopped in order, or declared dead"),
        sa.Column("declared_dead", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "workers_living",
        "workers",
        ["heartbeat_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "counted_jobs", sa.Column("job_id", sa.String(length=255), nullable=False), sa.PrimaryKeyConstraint("job_id")
    )
    op.create_table(
        "counters",
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("event", sa.String(length=255), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "event"),
    )


def downgrade() -> None:
    op.drop_table("counters")
    op.drop_table("counted_jobs")
    op.drop_index(
        "workers_living",
        table_name="workers",
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.drop_table("workers")
    op.drop_index("ticks_by_due_at", table_name="ticks")
    op.drop_table("ticks")
    op.drop_table("tallies")
    op.drop_table("sweep_lease")
    op.drop_index(
        "jobs_unique_key",
        table_name="jobs",
        postgresql_where=sa.text("unique_key IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying', 'running')"),
        sqlite_where=sa.text("unique_key IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying', 'running')"),
    )
    op.drop_index(
        "jobs_by_epoch",
        table_name="jobs",
        postgresql_where=sa.text("(state || '') IN ('scheduled', 'queued', 'retrying')"),
        sqlite_where=sa.text("(state || '') IN ('scheduled', 'queued', 'retrying')"),
    )
    op.drop_index(
        "jobs_running",
        table_name="jobs",
        postgresql_where=sa.text("(state || '') = 'running'"),
        sqlite_where=sa.text("(state || '') = 'running'"),
    )
    op.drop_index("jobs_newest", table_name="jobs")
    op.drop_index(
        "jobs_finished",
        table_name="jobs",
        postgresql_where=sa.text("(state || '') IN ('succeeded', 'failed', 'cancelled')"),
        sqlite_where=sa.text("(state || '') IN ('succeeded', 'failed', 'cancelled')"),
    )
    op.drop_index(
        "jobs_expiring",
        table_name="jobs",
        postgresql_where=sa.text("expires_at IS NOT NULL AND (state || '') IN ('scheduled', 'queued', 'retrying')"),
        sqlite_where=sa.text("expires_at IS NOT NULL AND (state || '') IN ('scheduled', 'queued', 'retrying')"),
    )
    op.drop_index(
        "jobs_due",
        table_name="jobs",
        postgresql_where=sa.text("(state || '') IN ('scheduled', 'retrying')"),
        sqlite_where=sa.text("(state || '') IN ('scheduled', 'retrying')"),
    )
    op.drop_index("jobs_by_state", table_name="jobs")
    op.drop_index("jobs_by_queue", table_name="jobs")
    op.drop_index("jobs_by_kind", table_name="jobs")
    op.drop_index(
        "jobs_by_arq_id",
        table_name="jobs",
        postgresql_where=sa.text("arq_id IS NOT NULL"),
        sqlite_where=sa.text("arq_id IS NOT NULL"),
    )
    op.drop_table("jobs")
    op.drop_index(op.f("ix_job_tags_job_id"), table_name="job_tags")
    op.drop_table("job_tags")
    op.drop_index(op.f("ix_idempotency_keys_expires_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("attempts")
