"""The tables of steps: what attempts of a job have kept for later attempts."""

from sqlalchemy import Column, Integer, String, Table, Text

from service.tables import Moment, metadata

job_steps = Table(
    "job_steps",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("result", Text, nullable=False, comment="JSON"),
    Column("attempt", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
)

job_checkpoints = Table(
    "job_checkpoints",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("value", Text, nullable=False, comment="JSON"),
    Column("attempt", Integer, nullable=False),
    Column("recorded_at", Moment, nullable=False),
)
