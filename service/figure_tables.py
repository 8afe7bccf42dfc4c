"""The tables of figures: failures by group, and what happened in each minute. They are statistics, not the ledger.

Workers write rows of their own, one for each process, as in `tallies`: no process waits for another.
"""

from sqlalchemy import BigInteger, Column, Double, Index, String, Table, Text

from service.tables import LaneKey, Moment, metadata

failure_groups = Table(  # a row for each process that met the group
    "failure_groups",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("writer", String(64), primary_key=True, comment="the process; '': processes long gone"),
    Column("kind", String(255), nullable=False, comment="what the jobs count as: their label, or else their kind"),
    Column("error_type", Text, nullable=False),
    Column("place", Text, comment="file:line of the innermost frame that is not a library's; null: unknown"),
    Column("message", Text, nullable=False, comment="of the first failure"),
    Column("first_at", Moment, nullable=False),
    Index("failure_groups_by_time", "first_at"),
)

failure_counts = Table(  # in the transaction of each failure
    "failure_counts",
    metadata,
    Column("bucket_at", Moment, primary_key=True, comment="the minute, later the hour"),
    Column("fingerprint", String(16), primary_key=True),
    Column("writer", String(64), primary_key=True, comment="the process; '': merged"),
    Column("failures", BigInteger, nullable=False),
    Column("jobs_failed", BigInteger, nullable=False),
    Column("latest_at", Moment, nullable=False),
    Column("destination", String(255), comment="the lane of the jobs' kind; '*': several; null: none"),
    Index("failure_counts_by_group", "fingerprint", "bucket_at"),
)

event_counts = Table(  # the sums of `tallies` at the end of each minute
    "event_counts",
    metadata,
    Column("kind", String(255), primary_key=True, comment="'': all kinds together"),
    Column("event", String(11), primary_key=True),
    Column("bucket_at", Moment, primary_key=True, comment="the minute, later the quarter of an hour"),
    Column("total", BigInteger, nullable=False, comment="of all time; no row: as in the one before"),
    Index("event_counts_by_time", "bucket_at"),
)

levels = Table(  # measured at a moment: waiting, running, loop lag
    "levels",
    metadata,
    Column("name", String(130), primary_key=True),
    Column("at", Moment, primary_key=True, comment="ten seconds, later the minute, then ten minutes"),
    Column("value", Double, nullable=False),
    Index("levels_by_time", "at"),
)

durations = Table(  # histograms of waits and runs, written by workers every few seconds
    "durations",
    metadata,
    Column(
        "bucket_at", Moment, primary_key=True, comment="five minutes, later a quarter; the epoch: all that is merged"
    ),
    Column("kind", String(255), primary_key=True, comment="'': all kinds together"),
    Column("measure", String(8), primary_key=True, comment="wait, run or total"),
    Column("writer", String(64), primary_key=True, comment="the process; '': merged"),
    Column("counts", Text, nullable=False, comment="JSON: how many in each bucket of the histogram"),
    Column("sum_s", Double, nullable=False),
)

lane_starts = Table(  # written by workers every few seconds, and kept for two hours
    "lane_starts",
    metadata,
    Column("lane", LaneKey, primary_key=True),
    Column("bucket_at", Moment, primary_key=True, comment="five minutes"),
    Column("writer", String(64), primary_key=True, comment="the process"),
    Column("started", BigInteger, nullable=False),
    Index("lane_starts_by_time", "bucket_at"),
)

lane_holds = Table(  # when a breaker last held its lane; `lanes` forgets a closed breaker
    "lane_holds",
    metadata,
    Column("key", LaneKey, primary_key=True),
    Column("held_at", Moment, nullable=False),
    Column("over_at", Moment, comment="null: it still holds"),
    Column("reason", Text),
    Index("lane_holds_by_end", "over_at"),
)
