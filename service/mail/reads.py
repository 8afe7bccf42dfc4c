"""Reads of the mail server's answers."""

from sqlalchemy import Connection, select

from jobs.email.answers import Answer, Word
from service.mail.tables import mail_recipients


def read_words(connection: Connection, job_id: str) -> dict[str, Answer]:
    """Return the final words on a job's recipients, by address."""
    table = mail_recipients.c
    rows = connection.execute(select(table.address, table.word, table.answer).where(table.job_id == job_id))
    return {address: Answer(Word(word), answer) for address, word, answer in rows}
