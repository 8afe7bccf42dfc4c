"""A connection to a mail server: aiosmtplib's, but it knows when a message is under way, and masks the password."""

import re
import ssl
from base64 import b64encode
from typing import Literal
from urllib.parse import quote

import aiosmtplib
from aiosmtplib.typing import Default

from jobs.email.mailer_errors import LoginFailed
from service.mail import noting
from service.mail.smtp_server import SmtpServer

_GO_AHEAD = 354


class SmtpClient(aiosmtplib.SMTP):
    """A connection that shows the password to nobody, whatever the server echoes."""

    def __init__(self, server: SmtpServer, tls: ssl.SSLContext | None, own_name: str | None, timeout_s: float):
        super().__init__(
            hostname=server.hostname,
            port=server.port,
            socket_path=server.socket_path,
            use_tls=server.use_tls,
            start_tls=False,
            tls_context=tls,
            local_hostname=own_name,
            timeout=timeout_s,
        )
        self._username, self._password = server.username, server.password

    async def log_in(self) -> None:
        """Log in, if there are credentials. Raises `SMTPException`: `LoginFailed` if the server offers no way."""
        if self._username is None or self._password is None:
            return
        try:
            await self.login(self._username, self._password)
        except (aiosmtplib.SMTPResponseException, ConnectionError, TimeoutError):
            raise
        except (aiosmtplib.SMTPException, ValueError) as error:  # no AUTH, or an invalid challenge
            raise LoginFailed(str(error)) from error

    async def offers(self, extension: str) -> bool:
        await self._ehlo_or_helo_if_needed()
        return self.supports_extension(extension)

    async def send_data(self, message: bytes, *, timeout_s: float) -> aiosmtplib.SMTPResponse:
        """Send the message, and return the answer to its final dot.

        Raises `SMTPDataError` if the server does not want the message, `ConnectionError` and `TimeoutError` as long as
        no byte was sent, and `BodyUnanswered` afterwards.
        """
        go_ahead = await self.execute_command(b"DATA")
        if go_ahead.code != _GO_AHEAD:
            raise aiosmtplib.SMTPDataError(go_ahead.code, go_ahead.message)
        protocol = self.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("The mail server closed the connection before the message was sent")
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message).removesuffix(b"\r\n")
        protocol.write(re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n")
        try:
            response = await protocol.read_response(timeout=timeout_s)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            noting.note_no_answer(noting.MESSAGE, error)
            raise BodyUnanswered(str(error)) from error
        response = aiosmtplib.SMTPResponse(response.code, self._masked(response.message))
        noting.note_answer(noting.MESSAGE, response)
        return response

    async def execute_command(
        self, *args: bytes, timeout: float | Literal[Default.token] | None = Default.token
    ) -> aiosmtplib.SMTPResponse:
        try:
            response = await super().execute_command(*args, timeout=timeout)
        except aiosmtplib.SMTPResponseException as error:
            shown = aiosmtplib.SMTPResponse(error.code, self._masked(error.message))
            noting.note_answer(args[0], shown)
            raise aiosmtplib.SMTPResponseException(*shown) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            noting.note_no_answer(args[0], error)
            raise
        shown = aiosmtplib.SMTPResponse(response.code, self._masked(response.message))
        noting.note_answer(args[0], shown)
        return response if response.code < 400 else shown  # a challenge must not change

    def _masked(self, answer: str) -> str:
        for form in _forms(self._username or "", self._password or ""):
            answer = answer.replace(form, "***")
        return answer


class BodyUnanswered(aiosmtplib.SMTPException):
    """No readable answer came after the message was sent."""


def _forms(username: str, password: str) -> list[str]:
    """Return the password as a server may echo it: as AUTH PLAIN and LOGIN send it, or written out."""
    if not password:
        return []
    sent = [f"\0{username}\0{password}", password]
    encoded = [b64encode(text.encode()).decode() for text in sent]
    return sorted({*encoded, password, quote(password, safe="")}, key=len, reverse=True)
