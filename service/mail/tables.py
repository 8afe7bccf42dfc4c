"""The mail server's final answer for each recipient, while other recipients of the same mail still wait."""

from sqlalchemy import Column, MetaData, String, Table, Text

metadata = MetaData()

mail_recipients = Table(
    "mail_recipients",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("address", String(400), primary_key=True),
    Column("word", String(10), nullable=False, comment="accepted or refused"),
    Column("answer", Text, nullable=False, comment="the server's, where it refused"),
)
