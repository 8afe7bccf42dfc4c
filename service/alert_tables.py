"""The table of alerts: which troubles were reported, so that none is reported twice."""

from sqlalchemy import Column, Index, Table, Text, text

from service.tables import Moment, metadata

alerts = Table(
    "alerts",
    metadata,
    Column("key", Text, primary_key=True, comment="the trouble's"),
    Column("seen_at", Moment, primary_key=True, comment="when it was seen first, this time"),
    Column("seen_last_at", Moment, nullable=False),
    Column("headline", Text, nullable=False),
    Column("told_at", Moment, comment="null: it has not lasted long enough"),
    Column("over_at", Moment, comment="null: it lasts"),
    Column("told_over_at", Moment),
    Column("job_ids", Text, comment="JSON list of the jobs that tell of it"),
    Column("direct_at", Moment, comment="when it was told past the queue; null: it was not"),
    Index(
        "alerts_lasting",
        "key",
        unique=True,
        postgresql_where=text("over_at IS NULL"),
        sqlite_where=text("over_at IS NULL"),
    ),
)
