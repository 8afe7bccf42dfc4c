"""What `send_email` asks for: a mail server, also known as `ctx.mailer`, and its words on recipients."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from jobs.email.answers import Answer
from jobs.email.words import NotKept, RecipientWords
from jobs.kit.context import Mailer
from service.feature import Capabilities
from service.ledger.ledger import Ledger
from service.mail.reads import read_words
from service.mail.records import record_words
from service.mail.smtp import SmtpMailer
from service.settings import Settings


class LedgerWords:
    """Keeps words in the ledger's database; see `jobs.email.words.RecipientWords`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def read(self, job_id: str) -> dict[str, Answer]:
        async with self._ledger.read() as connection:
            return await connection.run_sync(read_words, job_id)

    async def keep(self, job_id: str, words: Mapping[str, Answer]) -> None:
        try:
            await self._ledger.database.run_for_job(lambda connection: record_words(connection, job_id, words))
        except (SQLAlchemyError, OSError) as error:
            raise NotKept(repr(getattr(error, "orig", error))) from error


@asynccontextmanager
async def open_mail(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Read where mail goes, without connecting yet. Raises `StartRefused`."""
    mailer = SmtpMailer.open(
        settings.smtp_url.get_secret_value() if settings.smtp_url else None,
        socket=settings.socket_path("inbox.sock"),
        default_sender=settings.mail_from,
        tls=settings.smtp_tls,
        ca_file=settings.smtp_ca_file,
    )
    yield {Mailer: mailer, RecipientWords: LedgerWords(ledger)}
