"""The tables of flows: which job comes after which, and what is enqueued when a job or a flow ends."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from service.tables import Moment, metadata

# Decided edges stay until one of their jobs is purged: a replayed parent takes back the children it cancelled, a child
# reads its parents' results, and a flow is shown with its edges.
job_edges = Table(
    "job_edges",
    metadata,
    Column("parent", String(255), primary_key=True),
    Column("child", String(255), primary_key=True),
    Column("run_when", String(9), nullable=False, comment="succeeded, ended or attempted"),
    Column("state", String(6), nullable=False, comment="open, met or broken"),
    Column("position", Integer, nullable=False, server_default="0", comment="among the parents that the child named"),
    Index("job_edges_by_child", "child"),
    sqlite_with_rowid=False,
    # Room to update each edge within its page, which touches no index.
    postgresql_with={"fillfactor": 50},
)

flows = Table(
    "flows",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(100)),
    Column("live", Integer, nullable=False, server_default="0", comment="jobs not ended; kept where it has callbacks"),
    Column("traits", Integer, nullable=False, server_default="0", comment="callbacks, as bits: see traits.py"),
    Column("created_at", Moment, nullable=False),
    Column("request_hash", String(64), comment="SHA-256 of the request; where the client made the id"),
    Index("flows_by_created_at", "created_at", "id"),
)

callbacks = Table(  # what is enqueued when its owner ends
    "callbacks",
    metadata,
    Column("owner", String(255), primary_key=True, comment="a job's id, or a flow's"),
    Column("event", String(7), primary_key=True, comment="success, failure or end"),
    Column("template", Text, nullable=False, comment="JSON: the job to enqueue, without its id and times"),
)

callback_jobs = Table(
    "callback_jobs",
    metadata,
    Column("owner", String(255), primary_key=True),
    Column("event", String(7), primary_key=True),
    Column("job_id", String(255), primary_key=True),
    Column("recorded_at", Moment, nullable=False, comment="when the owner ended"),
    Index("callback_jobs_by_job", "job_id"),
)

# Jobs with edges that do not yet say what became of the job: written with its end or replay, deleted once all do.
followups = Table(
    "followups",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("since", Moment, nullable=False),
    Index("followups_by_since", "since"),
)
