"""The errors that `Context.mailer` raises besides aiosmtplib's own.

An error raised after the recipients were named also carries the server's answer to each refused recipient.
"""

from collections.abc import Mapping, Sequence

import aiosmtplib


class DeliveryUnknown(aiosmtplib.SMTPServerDisconnected):
    """A message was sent but not answered, so nobody knows whether the server has taken it."""

    def __init__(self, cause: Exception, refused: Mapping[str, str]):
        super().__init__(
            "The outcome is ambiguous: no answer came after the message was sent, so the mail server may have taken it."
            f" Another attempt carries the same Message-ID. ({cause})"
        )
        self.refused = refused


class ClosedAfter(aiosmtplib.SMTPServerDisconnected):
    """The server closed the connection (421) while recipients were being named, after it had taken those in `taken`."""

    def __init__(self, message: str, taken: Sequence[str]):
        super().__init__(message)
        self.taken = taken


class MessageRefused(aiosmtplib.SMTPDataError):
    """The server took some recipients, but then refused the message."""

    def __init__(self, code: int, message: str, refused: Mapping[str, str]):
        super().__init__(code, message)
        self.refused = refused


class TlsFailed(aiosmtplib.SMTPConnectError):
    """There is no TLS with the server, or the settings do not trust it."""


class LoginFailed(aiosmtplib.SMTPException):
    """The server offers no way to log in that works for us."""
