"""Counters by subject and event: all-time, by the minute and by the quarter of an hour; and what was counted."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table

from service.tables import Moment

metadata = MetaData()


def _names() -> tuple[Column[str], Column[str]]:
    return Column("subject", String(255), primary_key=True), Column("event", String(255), primary_key=True)


def _counts(name: str, bucket: str) -> Table:
    return Table(
        name,
        metadata,
        *_names(),
        Column("bucket_at", Moment, primary_key=True, comment=bucket),
        Column("count", BigInteger, nullable=False),
        Index(f"{name}_by_event", "event", "bucket_at"),
        sqlite_with_rowid=False,
    )


counters = Table("counters", metadata, *_names(), Column("count", BigInteger, nullable=False))

# Each count is in both, so that neither has to be made from the other.
minute_counts = _counts("minute_counts", "the minute")

# No coarser: other zones' days cannot be made from UTC days, and some zones are :30 or :45 off.
quarter_counts = _counts("quarter_counts", "the quarter of an hour")

# Who was counted in each quarter: see `service/stats/sketch.py`.
quarter_sketches = Table(
    "quarter_sketches",
    metadata,
    *_names(),
    Column("bucket_at", Moment, primary_key=True, comment="the quarter of an hour"),
    Column("sketch", LargeBinary, nullable=False),
    Index("quarter_sketches_by_event", "event", "bucket_at"),
)

# One row for each counted job, so that a second run of the same job changes nothing.
counted_jobs = Table(
    "counted_jobs",
    metadata,
    Column("job_id", String(255), primary_key=True),
)

# One row for each id that was counted, in whichever job.
counted_ids = Table(
    "counted_ids",
    metadata,
    *_names(),
    Column("id", String(255), primary_key=True),
    Column("counted_at", Moment, nullable=False),
    Index("counted_ids_by_time", "counted_at"),
    sqlite_with_rowid=False,
)
