"""Why a webhook was not delivered: the classes whose names are the recorded error types.

Retry
├── HttpStatusError     the receiver answered with a status other than 2xx
└── NoAnswer            the receiver may be down, which its lane's breaker is told
    ├── DnsFailed       its name has no address
    ├── ConnectFailed   no connection was made, or not in time
    ├── TlsFailed       its certificate is not trusted, or there is no common TLS
    ├── ConnectionLost  it hung up before an answer
    ├── ReadTimeout     no answer came in time, or the body was not taken
    └── NotHttp         it sent something that is not an answer in HTTP/1
Discard
├── ReceiverGone        410: it wants no more posts
├── StatusGivenUpOn     a status of the job's own `give_up_on`
└── AddressRefused      its address is not public, and the settings do not allow it
"""

from datetime import timedelta

import httpx

from jobs.kit import http_errors as outbound
from jobs.kit.outcomes import Discard, Retry


class HttpStatusError(Retry):
    """`status` says whether the receiver can take events now, although it has answered."""

    def __init__(self, message: str, *, status: int, after: timedelta | None, hold_lane: timedelta | None = None):
        super().__init__(message, after=after, or_later=True, hold_lane=hold_lane)
        self.answered = status != httpx.codes.TOO_MANY_REQUESTS and status < httpx.codes.INTERNAL_SERVER_ERROR


class NoAnswer(Retry):
    answered = False


class DnsFailed(NoAnswer): ...


class ConnectFailed(NoAnswer): ...


class TlsFailed(NoAnswer): ...


class ConnectionLost(NoAnswer): ...


class ReadTimeout(NoAnswer): ...


class NotHttp(NoAnswer): ...


class ReceiverGone(Discard):
    answered = True


class StatusGivenUpOn(Discard):
    answered = True


class AddressRefused(Discard): ...


def class_of(error: httpx.TransportError) -> type[Retry]:
    """Return the failure for an error of `Context.http`."""
    match error:
        case outbound.NameNotResolved():
            return DnsFailed
        case outbound.TlsFailed():
            return TlsFailed
        case outbound.NotHttp():
            return NotHttp
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectFailed
        case httpx.TimeoutException():
            return ReadTimeout
        case _:
            return ConnectionLost
