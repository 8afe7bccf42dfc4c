"""The errors that `Context.mailer` raises beyond those of aiosmtplib.

Errors raised after the recipients were named also carry the server's answer to each refused recipient.
"""

from collections.abc import Mapping, Sequence

import aiosmtplib


class DeliveryUnknown(aiosmtplib.SMTPServerDisconnected):
    """No answer came to a message that was sent, so nobody knows whether the server has taken it."""

    def __init__(self, cause: Exception, refused: Mapping[str, str]):
        super().__init__(
            "The outcome is ambiguous: no answer came after the message was sent, so the mail server may have taken it."
            f" Another attempt carries the same Message-ID. ({cause})"
        )
        self.refused = refused


class ClosedAfter(aiosmtplib.SMTPServerDisconnected):
    """The server closed (421) while recipients were named, after it had taken those in `taken`."""

    def __init__(self, message: str, taken: Sequence[str]):
        super().__init__(message)
        self.taken = taken


class MessageRefused(aiosmtplib.SMTPDataError):
    """The server took some recipients, and then not the message."""

    def __init__(self, code: int, message: str, refused: Mapping[str, str]):
        super().__init__(code, message)
        self.refused = refused


class TlsFailed(aiosmtplib.SMTPConnectError):
    """There is no TLS with the server, or none that the settings trust."""


class LoginFailed(aiosmtplib.SMTPException):
    """The server offers no way to log in that we know."""
