"""Mail over SMTP, to the server in the settings or else to the dev inbox on its Unix socket."""

import asyncio
import contextlib
import copy
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path

import aiosmtplib
import structlog

from jobs.email.headers import rewritten
from jobs.email.mailbox import read_mailbox
from jobs.email.mailer_errors import ClosedAfter, DeliveryUnknown, MessageRefused, TlsFailed
from jobs.kit.context import Delivery
from service.errors import StartRefused
from service.mail import noting
from service.mail.smtp_client import BodyUnanswered, SmtpClient
from service.mail.smtp_server import SmtpServer, TlsLevel
from service.outbound.around import around_mail

__all__ = ["DeliveryUnknown", "SmtpMailer", "SmtpServer"]

MAX_CONNECTIONS = 10
COMMAND_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 5.0
# RFC 5321, 4.5.3.2.6: after a shorter wait, a message that the server has taken is sent twice. The attempt's timeout
# comes first.
FINAL_DOT_TIMEOUT_S = 600.0

# RFC 6531, 3.2 and 4.3: the answer of a server without SMTPUTF8.
_NOT_ASCII = aiosmtplib.SMTPResponse(553, "5.6.7 SMTPUTF8 is not supported by this server")

log = structlog.get_logger(__name__)


class SmtpMailer:
    """Hands mails to one server, each over a connection of its own. Made by `SmtpMailer.open`."""

    def __init__(self, server: SmtpServer, default_sender: str):
        self._server = server
        self._default_sender = default_sender
        self._tls = server.tls_context() if server.hostname else None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        # The name to say hello with. It may take a DNS lookup, so the name of the first connection is kept.
        self._own_name = None if server.hostname else "localhost"

    @classmethod
    def open(
        cls,
        url: str | None,
        *,
        socket: Path,
        default_sender: str,
        tls: TlsLevel | None = None,
        ca_file: Path | None = None,
    ) -> "SmtpMailer":
        """Read the settings, without connecting yet. Raises `StartRefused`."""
        _check_sender(default_sender)
        if url is None:
            return cls(SmtpServer(socket_path=socket, start_tls=False), default_sender)
        return cls(SmtpServer.from_url(url, tls=tls, ca_file=ca_file), default_sender)

    @property
    def default_sender(self) -> str:
        return self._default_sender

    async def send(self, message: EmailMessage, *, sender: str, recipients: Sequence[str]) -> Delivery:
        """Hand `message` to the server, for all recipients that the server takes.

        Raises `aiosmtplib.SMTPException` and `OSError`: `SMTPRecipientsRefused` if it takes no recipient,
        `DeliveryUnknown` if it may have taken the message.
        """
        name, port = self._server.hostname or "the dev inbox", self._server.port
        async with self._slots, around_mail.get()(name, port, len(recipients)):
            noting.begin(self._server, len(recipients))
            client = await self._dial()
            try:
                client = await self._secured(client)
                await client.log_in()
                refused = await _transact(client, message, sender, recipients)
                await _say_goodbye(client)
            finally:
                client.close()
        return Delivery(tuple(address for address in recipients if address not in refused), refused)

    async def _dial(self) -> SmtpClient:
        client = SmtpClient(self._server, self._tls, self._own_name, COMMAND_TIMEOUT_S)
        try:
            await client.connect()
        except (OSError, aiosmtplib.SMTPConnectError) as error:
            if self._server.socket_path is not None:
                raise aiosmtplib.SMTPConnectError(
                    f"No inbox answers on {self._server.socket_path}. "
                    "Run `postlude dev` or `postlude inbox`, or set POSTLUDE_SMTP_URL."
                ) from error
            if isinstance(error.__cause__, ssl.SSLError):
                raise _no_tls(error.__cause__) from error
            raise
        self._own_name = client.local_hostname
        noting.note_connected(client)
        return client

    async def _secured(self, client: SmtpClient) -> SmtpClient:
        """Begin TLS as the settings want it. If TLS fails and may fail, return a new connection without it."""
        wanted = self._server.start_tls
        if wanted is False or (wanted is None and not await client.offers("starttls")):
            return client
        try:
            await client.starttls()
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            if wanted:
                raise _no_tls(error) from error
            log.info("mail_sent_without_tls", reason=_told(error), remedy="POSTLUDE_SMTP_TLS=encrypt forbids it")
            return await self._dial()
        return client


async def _transact(
    client: SmtpClient, message: EmailMessage, sender: str, recipients: Sequence[str]
) -> Mapping[str, str]:
    """Send one message; return the answer to each refused recipient."""
    utf8 = _needs_utf8(message, sender, recipients) and await client.offers("smtputf8")
    if not (utf8 or sender.isascii()):
        raise aiosmtplib.SMTPSenderRefused(*_NOT_ASCII, sender)
    raw = _flattened(message, utf8=utf8, eight_bit=await client.offers("8bitmime"))
    options = [f"SIZE={len(raw)}"] if await client.offers("size") else []
    options += ["BODY=8BITMIME"] if await client.offers("8bitmime") else []
    options += ["SMTPUTF8"] if utf8 else []
    encoding = "utf-8" if utf8 else "ascii"
    await client.mail(sender, options=options, encoding=encoding)
    answers: dict[str, aiosmtplib.SMTPResponse | None] = {}
    for address in recipients:
        answer = answers[address] = await _ask_for(client, address, encoding)
        if answer is not None and answer.code == 421:
            raise _closed_after(answer, [one for one, refusal in answers.items() if refusal is None])
    refused = {address: answer for address, answer in answers.items() if answer is not None}
    if len(refused) == len(answers):
        raise aiosmtplib.SMTPRecipientsRefused(
            [aiosmtplib.SMTPRecipientRefused(*answer, address) for address, answer in refused.items()]
        )
    written = {address: _answer(*answer) for address, answer in refused.items()}
    await _hand_over(client, raw, written)
    return written


async def _ask_for(client: SmtpClient, address: str, encoding: str) -> aiosmtplib.SMTPResponse | None:
    """Name a recipient; return the server's answer if it refuses."""
    if encoding == "ascii" and not address.isascii():
        return _NOT_ASCII
    try:
        await client.rcpt(address, encoding=encoding)
    except aiosmtplib.SMTPRecipientRefused as error:
        # 252: it cannot verify the address, but will take the message.
        return None if 200 <= error.code < 300 else aiosmtplib.SMTPResponse(error.code, error.message)
    return None


def _closed_after(answer: aiosmtplib.SMTPResponse, taken: Sequence[str]) -> ClosedAfter:
    return ClosedAfter(f"The mail server closed the connection before the message was sent: {_answer(*answer)}", taken)


async def _hand_over(client: SmtpClient, raw: bytes, refused: Mapping[str, str]) -> None:
    """Send the message itself. Errors also carry the recipients that were refused before."""
    try:
        code, answer = await client.send_data(raw, timeout_s=FINAL_DOT_TIMEOUT_S)
    except aiosmtplib.SMTPDataError as error:
        raise MessageRefused(error.code, error.message, refused) from error
    except BodyUnanswered as error:
        raise DeliveryUnknown(error, refused) from error
    if code >= 400:
        raise MessageRefused(code, answer, refused)
    if not 200 <= code < 300:
        raise DeliveryUnknown(aiosmtplib.SMTPResponseException(code, answer), refused)


def _needs_utf8(message: EmailMessage, sender: str, recipients: Sequence[str]) -> bool:
    headers = any(getattr(header, "needs_utf8", False) for header in message.values())
    return headers or not all(address.isascii() for address in (sender, *recipients))


def _flattened(message: EmailMessage, *, utf8: bool, eight_bit: bool) -> bytes:
    shown = copy.copy(message)
    for name in set(shown.keys()):
        del shown[name]
    for name, header in message.raw_items():
        if name.lower() != "bcc":
            shown.set_raw(name, rewritten(name, header))
    policy = SMTPUTF8 if utf8 else SMTP
    return shown.as_bytes(policy=policy if eight_bit else policy.clone(cte_type="7bit"))


def _no_tls(error: Exception) -> TlsFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailed(
            f"The mail server's certificate is not trusted: {error.verify_message.rstrip('.')}. Name the authority that"
            " has signed it in POSTLUDE_SMTP_CA_FILE, or set POSTLUDE_SMTP_TLS=encrypt to trust any."
        )
    return TlsFailed(
        f"There is no TLS with the mail server: {_told(error)}. POSTLUDE_SMTP_URL and POSTLUDE_SMTP_TLS require it;"
        " POSTLUDE_SMTP_TLS=none does without."
    )


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    # The message is accepted by now, whatever happens here.
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=QUIT_TIMEOUT_S)


def _told(error: Exception) -> str:
    """Return an error's text, to be put into a sentence."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _answer(error.code, error.message)
    return str(error).rstrip(".")


def _answer(code: int, message: str) -> str:
    """Return an answer on one line. Bytes that are not UTF-8 come as surrogates, which JSON does not take."""
    text = " ".join(message.encode(errors="surrogateescape").decode(errors="replace").split())
    return f"{code} {text}".rstrip()


def _check_sender(sender: str) -> None:
    """Raise `StartRefused` unless `sender` is one address that any server takes, with or without a name."""
    try:
        if read_mailbox(sender).address.isascii():
            return
        reason = "before the @-sign it has letters beyond ASCII"
    except ValueError as error:
        reason = str(error)
    raise StartRefused(
        f"POSTLUDE_MAIL_FROM is not a mail address: {sender!r} ({reason}). Write ann@example.com or"
        " Ann <ann@example.com>."
    )
