"""The tables of what attempts leave behind for readers: their log lines, and the stacks that were asked for."""

from sqlalchemy import Column, Integer, String, Table, Text

from service.tables import Moment, metadata

log_lines = Table(
    "log_lines",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="from 1, within the attempt"),
    Column("at", Moment, nullable=False),
    Column("level", String(8), nullable=False),
    Column("text", Text, nullable=False, comment="what was said, without secrets"),
    Column("names", Text, comment="JSON object of what was said with it; null: nothing"),
)

stack_wishes = Table(  # somebody wants to see where a running attempt is
    "stack_wishes",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(64), nullable=False, index=True),
    Column("wished_at", Moment, nullable=False),
    Column("taken_at", Moment, comment="null: not yet"),
    Column("stack", Text),
)
