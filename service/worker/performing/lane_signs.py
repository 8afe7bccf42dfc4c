"""What an attempt's errors say about its job's destination. Pure."""

import errno
import socket
import ssl
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import aiosmtplib
import httpx

from jobs.kit.outcomes import Discard, Retry, to_timedelta
from service.worker.performing.failure import is_instance

_LONGEST_HOLD = timedelta(days=1)
_NO_WAY_THERE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT}
# A mail server that closes the connection, whatever the command (RFC 5321, 3.8).
_CLOSING = 421


class Sign(NamedTuple):
    """Whether the destination answers, as far as errors show, and for how long the author wants its lane held."""

    answered: bool | None = None
    hold: timedelta | None = None


NO_SIGN = Sign()


def sign_in(leaves: Sequence[BaseException]) -> Sign:
    """Read the errors of an attempt together. Raises whatever an author's own error does when it is read."""
    asked = [one.hold_lane for one in leaves if is_instance(one, Retry)]  # type: ignore[attr-defined]
    holds = [max(timedelta(0), min(to_timedelta(hold), _LONGEST_HOLD)) for hold in asked if hold is not None]
    signs = {_answered(one) for one in leaves}
    answered = False if holds or False in signs else True if True in signs else None
    return Sign(answered, max(holds, default=None))


def _answered(error: BaseException) -> bool | None:
    if is_instance(error, Retry, Discard):
        said: bool | None = error.answered  # type: ignore[attr-defined]
        return said
    match error:
        case httpx.HTTPStatusError():
            return not _is_overload(error.response.status_code)
        case aiosmtplib.SMTPResponseException():
            return error.code != _CLOSING
        case httpx.TransportError() | aiosmtplib.SMTPConnectError() | aiosmtplib.SMTPServerDisconnected():
            return False
        case ConnectionError() | TimeoutError() | socket.gaierror() | ssl.SSLError():
            return False
        case OSError(errno=number) if number in _NO_WAY_THERE:
            return False
    return None


def _is_overload(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR
