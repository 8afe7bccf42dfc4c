"""aiohttp's errors as httpx's, which the users of `Context.http` know. Pure."""

import aiohttp
import httpx

from jobs.kit.http_errors import NotHttp, TlsFailed
from service.outbound.connection import ConnectionStale, SpokeUnasked


def as_httpx(error: aiohttp.ClientError) -> httpx.TransportError:
    """Return the corresponding error of httpx."""
    return _class_of(error)(_message(error))


def _class_of(error: aiohttp.ClientError) -> type[httpx.TransportError]:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout
        case aiohttp.ServerTimeoutError():
            return httpx.ReadTimeout
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return TlsFailed
        case aiohttp.ClientConnectorError():  # no route, refused
            return httpx.ConnectError
        case aiohttp.ClientResponseError() | SpokeUnasked():
            return NotHttp
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | ConnectionStale():
            return httpx.RemoteProtocolError
        case aiohttp.InvalidURL():
            return httpx.UnsupportedProtocol
        case _:
            return httpx.ReadError


def _message(error: aiohttp.ClientError) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return str(error.os_error) or "the server hung up before TLS was agreed on"
        case aiohttp.ServerDisconnectedError():
            return "the server hung up without an answer"
        case aiohttp.ClientResponseError():
            return error.message
        case _:
            return str(error) or type(error).__name__
