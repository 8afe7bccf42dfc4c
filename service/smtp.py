"""Mail over SMTP: the server that the settings name, else the dev inbox on its Unix socket."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib
from aiosmtplib.typing import Default

from jobs.context import Delivery
from service.errors import StartRefused

MAX_CONNECTIONS = 10
COMMAND_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 5.0
# RFC 5321, 4.5.3.2.6: a shorter wait makes duplicates of what the server has taken. The attempt's timeout comes first.
FINAL_DOT_TIMEOUT_S = 600.0

# The email package parses more than this, and fails on some of it with any exception at all.
_ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
_NAME = r"\"[^\"\\\x00-\x1f\x7f-\x9f\u2028\u2029]+\"|[^][\"\\<>@,:;().\x00-\x1f\x7f-\x9f\u2028\u2029]+"
_SENDER = re.compile(rf"{_ADDRESS}|({_NAME}) ?<{_ADDRESS}>")


class DeliveryUnknown(aiosmtplib.SMTPServerDisconnected):
    """No answer came to a message that was sent, so nobody knows whether the server has taken it."""

    def __init__(self, cause: Exception):
        super().__init__(
            "The outcome is ambiguous: no answer came after the message was sent, so the mail server may have taken it."
            f" Another attempt carries the same Message-ID. ({cause})"
        )


@dataclass(frozen=True)
class SmtpServer:
    """Where mail goes, as aiosmtplib takes it. `start_tls=None`: where the server offers it."""

    hostname: str | None = None
    port: int | None = None
    socket_path: Path | None = None
    username: str | None = None
    password: str | None = None
    use_tls: bool = False
    start_tls: bool | None = None

    @classmethod
    def from_url(cls, url: str) -> "SmtpServer":
        """Read `smtp://user:pass@host:port` or `smtps://…`. Raises `StartRefused`."""
        parts = _split(url)
        host = parts.hostname
        secure = parts.scheme == "smtps"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not host or parts.scheme not in ("smtp", "smtps"):
            raise _refuse("it begins with smtp:// or smtps:// and names a host")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _refuse("nothing follows the port")
        if bool(user) != bool(password):
            raise _refuse("it has both a user and a password, or neither")
        required = True if user and not secure and not _is_loopback(host) else None
        return cls(host, parts.port, None, user or None, password or None, use_tls=secure, start_tls=required)


class SmtpMailer:
    """Hands mails to one server, over a connection for each. Made by `SmtpMailer.open`."""

    def __init__(self, server: SmtpServer, default_sender: str):
        self._server = server
        self._default_sender = default_sender
        self._tls = ssl.create_default_context() if server.hostname else None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        # The name to say hello with. Finding it may take a DNS lookup, so the first connection's is kept.
        self._own_name = None if server.hostname else "localhost"

    @classmethod
    def open(cls, url: str | None, *, socket: Path, default_sender: str) -> "SmtpMailer":
        """Read the settings; nothing is connected yet. Raises `StartRefused`."""
        _check_sender(default_sender)
        server = SmtpServer(socket_path=socket, start_tls=False) if url is None else SmtpServer.from_url(url)
        return cls(server, default_sender)

    @property
    def default_sender(self) -> str:
        return self._default_sender

    async def send(self, message: EmailMessage, *, sender: str, recipients: Sequence[str]) -> Delivery:
        """Hand `message` to the server.

        Raises `aiosmtplib.SMTPException` and `OSError`; of these `DeliveryUnknown` where the server may have taken it.
        """
        async with self._slots:
            client = self._client()
            try:
                await self._connect(client)
                self._own_name = client.local_hostname
                refused, _ = await client.send_message(message, sender=sender, recipients=list(recipients))
                await _say_goodbye(client)
            finally:
                client.close()
        accepted = tuple(address for address in recipients if address not in refused)
        return Delivery(accepted, {address: _answer(*response) for address, response in refused.items()})

    async def _connect(self, client: "_Client") -> None:
        try:
            await client.connect()
        except (OSError, aiosmtplib.SMTPConnectError) as error:
            if self._server.socket_path is None:
                raise
            raise aiosmtplib.SMTPConnectError(
                f"No inbox answers on {self._server.socket_path}. "
                "Run `postlude dev` or `postlude inbox`, or set POSTLUDE_SMTP_URL."
            ) from error

    def _client(self) -> "_Client":
        server = self._server
        return _Client(
            hostname=server.hostname,
            port=server.port,
            socket_path=server.socket_path,
            username=server.username,
            password=server.password,
            use_tls=server.use_tls,
            start_tls=server.start_tls,
            tls_context=self._tls,
            local_hostname=self._own_name,
            timeout=COMMAND_TIMEOUT_S,
        )


class _Client(aiosmtplib.SMTP):
    """Tells a connection that breaks once the message is under way from one that breaks before."""

    async def data(
        self, message: str | bytes, /, *, timeout: float | Literal[Default.token] | None = Default.token
    ) -> aiosmtplib.SMTPResponse:
        if not self.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("The mail server closed the connection before the message was sent")
        try:
            return await super().data(message, timeout=FINAL_DOT_TIMEOUT_S)
        except aiosmtplib.SMTPDataError:
            raise
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryUnknown(error) from error


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    # The message is accepted by now: whatever happens here changes nothing about that.
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=QUIT_TIMEOUT_S)


def _answer(code: int, message: str) -> str:
    """Write an answer on one line. Bytes that are not UTF-8 come as surrogates, which JSON does not take."""
    text = " ".join(message.encode(errors="surrogateescape").decode(errors="replace").split())
    return f"{code} {text}".rstrip()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # Without its cause: that one quotes what may be a part of the password.
        raise _refuse("its host or port is not valid") from None
    return parts


def _refuse(rule: str) -> StartRefused:
    return StartRefused(
        f"POSTLUDE_SMTP_URL cannot be used: {rule}. It reads smtp://user:password@host:port, or smtps://… for TLS from"
        " the start; characters like @ : / # ? % in user and password are percent-encoded."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_sender(sender: str) -> None:
    """Raise `StartRefused` unless `sender` is one ASCII address, with or without a name."""
    if not _SENDER.fullmatch(sender):
        raise StartRefused(
            f"POSTLUDE_MAIL_FROM is not a mail address: {sender!r}. Write ann@example.com or Ann <ann@example.com>."
        )
