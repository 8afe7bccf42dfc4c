"""Counters by subject and event, and the jobs that were counted."""

from sqlalchemy import BigInteger, Column, MetaData, String, Table

metadata = MetaData()

counters = Table(
    "counters",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("event", String(255), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# One row for each counted job, so that a second run of the same job changes nothing.
counted_jobs = Table(
    "counted_jobs",
    metadata,
    Column("job_id", String(255), primary_key=True),
)
