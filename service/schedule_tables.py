"""The table of schedules made at run time, and of pauses of kinds' own schedules; their ticks are in `ticks`."""

from sqlalchemy import BigInteger, Column, Double, Integer, String, Table, Text

from service.tables import Moment, metadata

# The reason of a tick that a user fired out of turn.
RUN_NOW = "run now"
# Listed in byte order, as SQLite and Python sort, in any database.
ScheduleName = String(100).with_variant(String(100, collation="C"), "postgresql")

schedules = Table(
    "schedules",
    metadata,
    Column("name", ScheduleName, primary_key=True, comment="a kind's own has the kind's name"),
    Column("kind", String(100), comment="null: a kind's own, of which only the pause is kept here"),
    Column("args", Text, comment="JSON as shown to readers: secrets masked"),
    Column("sealed_args", Text, comment="JSON with the secrets, where the kind has any"),
    Column("options", Text, nullable=False, server_default="{}", comment="JSON: options of its jobs"),
    Column("cron", Text),
    Column("time_zone", String(100), nullable=False, server_default="UTC"),
    Column("catch_up", String(4), nullable=False, server_default="last"),
    Column("overlap", String(7), nullable=False, server_default="allow"),
    Column("jitter_s", Double, nullable=False, server_default="0"),
    Column("start_at", Moment),
    Column("end_at", Moment),
    Column("paused", Integer, nullable=False, server_default="0"),
    Column("paused_at", Moment),
    Column("paused_by", String(120), comment="the principal who paused it"),
    Column("paused_reason", Text, comment="why, in the words of who paused it"),
    Column("last_job_id", String(255), comment="of its latest tick that fired"),
    Column("since", Moment, comment="ticks up to then have been dealt with"),
    Column("revision", BigInteger, nullable=False, server_default="1", comment="grows with each change by a user"),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
