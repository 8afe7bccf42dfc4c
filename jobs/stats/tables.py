"""Tables that jobs fill."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

metadata = MetaData()

counters = Table(
    "counters",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("event", String(255), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# One row for each job that was counted: what makes a second run of the same job change nothing.
counted_jobs = Table(
    "counted_jobs",
    metadata,
    Column("job_id", String(255), primary_key=True),
)

# The mail server's final words on the recipients of mails that are not over: who has a mail does not get it again.
mail_recipients = Table(
    "mail_recipients",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("address", String(400), primary_key=True),
    Column("word", String(10), nullable=False, comment="accepted or refused"),
    Column("answer", Text, nullable=False, comment="the server's, where it refused"),
)


def insert_into(session: AsyncSession, table: Table) -> Any:
    """Begin an insert that may say what happens on a conflict."""
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(table)
