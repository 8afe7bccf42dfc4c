"""Why a webhook was not delivered: the classes whose names are the recorded error types.

Retry
├── HttpStatusError     the receiver answered with a status other than 2xx
├── DnsFailed           its name has no address
├── ConnectFailed       no connection was made, or not in time
├── TlsFailed           its certificate is not trusted, or there is no common TLS
├── ConnectionLost      it hung up before an answer
├── ReadTimeout         no answer came in time, or the body was not taken
└── NotHttp             it sent something that is not an answer in HTTP/1
Discard
├── ReceiverGone        410: it wants no more posts
├── StatusGivenUpOn     a status of the job's own `give_up_on`
└── AddressRefused      its address is not public, and the settings do not allow it
"""

import httpx

from jobs.kit import http_errors as outbound
from jobs.kit.outcomes import Discard, Retry


class HttpStatusError(Retry): ...


class DnsFailed(Retry): ...


class ConnectFailed(Retry): ...


class TlsFailed(Retry): ...


class ConnectionLost(Retry): ...


class ReadTimeout(Retry): ...


class NotHttp(Retry): ...


class ReceiverGone(Discard): ...


class StatusGivenUpOn(Discard): ...


class AddressRefused(Discard): ...


def class_of(error: httpx.TransportError) -> type[Retry]:
    """Return the failure that stands for an error of `Context.http`."""
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
