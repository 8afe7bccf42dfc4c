"""The tables of operations: actions on all jobs that match a filter, how far they are, and what became of members."""

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text

from service.tables import Moment, metadata, partial_index

LIVE_OPERATION_SQL = "(state || '') IN ('counting', 'running')"

operations = Table(
    "operations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(100)),
    Column("action", String(7), nullable=False, comment="replay, cancel, delete, run_now or change"),
    Column("filter", Text, nullable=False, comment="JSON, as it was sent"),
    Column("change", Text, comment="JSON: what `change` sets"),
    Column("rate", Double, comment="members a second; null: as fast as it goes"),
    Column("paced_at", Moment, comment="since when it goes at this rate"),
    Column("paced_from", Integer, nullable=False, server_default="0", comment="members dealt with by then"),
    Column("dry_run", Integer, nullable=False, server_default="0"),
    Column("state", String(9), nullable=False, comment="counting, running, stopped, succeeded or failed"),
    Column("job_id", String(255), comment="the job that carries it out; null: whoever accepted it does, for a moment"),
    Column("runner_until", Moment, comment="until when whoever accepted it carries it out"),
    Column("principal", String(120), comment="who asked for it"),
    Column("matched", Integer, nullable=False, server_default="0"),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("skipped", Text, nullable=False, server_default="{}", comment="JSON: how many of `failed`, by reason"),
    Column("cursor", Text, comment="JSON: the last member dealt with"),
    Column("error", Text, comment="why it could not go on"),
    Column("created_at", Moment, nullable=False, comment="jobs enqueued later are not its members"),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Index("operations_by_created_at", "created_at", "id"),
    partial_index("operations_live", "created_at", where=LIVE_OPERATION_SQL),
)

operation_failures = Table(  # the first of them; `operations.failed` counts all
    "operation_failures",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("job_id", String(255), primary_key=True),
    Column("reason", String(40), nullable=False),
    Column("message", Text),
)

operation_members = Table(  # the jobs that a replay let run again: what became of them is in their rows
    "operation_members",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("job_id", String(255), primary_key=True),
)
