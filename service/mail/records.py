"""Writes of the mail server's answers."""

from collections.abc import Mapping

from sqlalchemy import Connection

from jobs.email.answers import Answer
from service.ledger.rows import insert_for
from service.mail.tables import mail_recipients


def record_words(connection: Connection, job_id: str, words: Mapping[str, Answer]) -> None:
    """Write final words on a job's recipients, replacing earlier ones."""
    rows = [
        {"job_id": job_id, "address": address, "word": answer.word.value, "answer": answer.text}
        for address, answer in words.items()
    ]
    statement = insert_for(connection.dialect.name)(mail_recipients).values(rows)
    said = {name: statement.excluded[name] for name in ("word", "answer")}
    connection.execute(statement.on_conflict_do_update(index_elements=["job_id", "address"], set_=said))
