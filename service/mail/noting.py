"""What is noted about a mail's transaction, for the attempt that sends it."""

import aiosmtplib

from service.exchange import SmtpExchange
from service.mail.smtp_server import SmtpServer
from service.performing import performing

_VERBS = frozenset({"AUTH", "DATA", "EHLO", "HELO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "."})
# The final dot, whose answer is the server's decision on the message.
MESSAGE = b"."


def begin(server: SmtpServer, recipients: int) -> None:
    """Note that an attempt is about to send a mail."""
    attempt = performing.get()
    if attempt is not None and not attempt.is_over:
        name = "the dev inbox" if server.hostname is None else f"{server.hostname}:{server.port}"
        attempt.exchange = SmtpExchange(name, recipients)


def note_connected(client: aiosmtplib.SMTP) -> None:
    if (exchange := _exchange()) is not None and client.transport is not None:
        exchange.peer = client.transport.get_extra_info("peername")


def note_answer(command: bytes, answer: aiosmtplib.SMTPResponse) -> None:
    """Note a command by its verb, and its answer. For a login, only the answer is noted."""
    if (exchange := _exchange()) is not None:
        verb = _verb(command)
        text = "" if verb == "AUTH" and answer.code < 400 else answer.message
        exchange.note(verb, answer.code, text)


def note_no_answer(command: bytes, error: Exception) -> None:
    if (exchange := _exchange()) is not None:
        exchange.note(_verb(command), None, type(error).__name__)


def _exchange() -> SmtpExchange | None:
    attempt = performing.get()
    exchange = None if attempt is None or attempt.is_over else attempt.exchange
    return exchange if isinstance(exchange, SmtpExchange) else None


def _verb(command: bytes) -> str:
    """Return the verb. Any other text belongs to a login, and is its secret."""
    verb = command[:10].decode("ascii", "replace").upper()
    return verb if verb in _VERBS else "AUTH"
