"""An httpx transport over aiohttp's connections, which take a tenth of the time of httpx's own at 100 at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import lru_cache

import aiohttp
import httpx
import yarl
from multidict import CIMultiDict

from service.exchange import HttpExchange
from service.outbound import noting
from service.outbound.address import Network
from service.outbound.connection import ConnectionStale, GuardedRequest
from service.outbound.connector import GuardedConnector, fresh_connection
from service.outbound.errors import as_httpx
from service.outbound.resolver import Resolve, ThreadedResolver
from service.outbound.upload import Upload

Timeouts = Mapping[str, float | None]

MOST_RESOLVER_THREADS = 32
WRITTEN_AT_ONCE_BYTES = 64 * 1024  # what asyncio takes without making the writer wait
# Headers by which a receiver recognises a request that it has already had.
REPEATABLE_BY = ("webhook-id", "idempotency-key")
IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
# httpx has set these, or has been told not to.
HTTPX_OWN = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class GuardedTransport(httpx.AsyncBaseTransport):
    """Reaches what `GuardedConnector` dials, with `max_connections` requests at once; more wait for a slot.

    Returns answers as they are: it follows no redirect, unpacks nothing, keeps no cookie and asks no proxy.
    """

    def __init__(self, allow: Sequence[Network], max_connections: int, *, resolve: Resolve | None = None):
        self._resolver = ThreadedResolver(min(max_connections, MOST_RESOLVER_THREADS))
        self._slots = asyncio.Semaphore(max_connections)
        self._session = aiohttp.ClientSession(
            connector=GuardedConnector(allow, max_connections, resolve or self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=HTTPX_OWN,
            auto_decompress=False,
            trust_env=False,
            request_class=GuardedRequest,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions.get("timeout", {})
        await self._take_slot(timeouts.get("pool"))
        exchange = noting.begin(request)
        try:
            answer = await self._ask(request, timeouts)
        except BaseException as error:
            self._slots.release()
            noting.note_failure(exchange, error)
            raise
        response = httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=self._stream_of(answer, exchange),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": _reason(answer)},
        )
        noting.note_answer(exchange, response)
        return response

    def _stream_of(self, answer: aiohttp.ClientResponse, exchange: HttpExchange | None) -> httpx.AsyncByteStream:
        """Return the body. If all of it has arrived, these are plain bytes, and the slot is freed at once."""
        if not answer.content.is_eof() or answer.content.exception() is not None:
            return _Body(answer, self._slots.release, exchange)
        body = answer.content.read_nowait()
        if exchange is not None:
            exchange.note_body(body, whole=True)
        answer.close()
        self._slots.release()
        return httpx.ByteStream(body)

    async def _ask(self, request: httpx.Request, timeouts: Timeouts) -> aiohttp.ClientResponse:
        """Send once, or once more on a fresh connection if a kept one turned out stale."""
        try:
            try:
                return await self._ask_once(request, timeouts)
            except ConnectionStale as stale:
                if not (stale.is_unsent or _may_be_repeated(request)):
                    raise
            with fresh_connection():
                return await self._ask_once(request, timeouts)
        except aiohttp.ClientError as error:
            raise as_httpx(error) from error
        except TimeoutError as error:
            raise httpx.WriteTimeout(f"{request.url.host} does not take the body") from error
        except ValueError as error:
            raise httpx.LocalProtocolError(f"the request cannot be sent: {error}") from error

    async def _ask_once(self, request: httpx.Request, timeouts: Timeouts) -> aiohttp.ClientResponse:
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join(request.stream)
            if len(body) <= WRITTEN_AT_ONCE_BYTES:
                return await self._send(request, timeouts, aiohttp.BytesPayload(body) if body else None)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        upload = Upload(request.stream, timeouts.get("write"))
        async with upload:
            return await self._send(request, timeouts, upload)

    def _send(
        self, request: httpx.Request, timeouts: Timeouts, body: aiohttp.BytesPayload | Upload | None
    ) -> Awaitable[aiohttp.ClientResponse]:
        return self._session.request(
            request.method,
            _target(request.url.raw_scheme, request.url.netloc, request.url.raw_path),
            headers=_headers(request),
            data=body,
            allow_redirects=False,
            timeout=_timeout(timeouts.get("connect"), timeouts.get("read")),
        )

    async def aclose(self) -> None:
        await self._session.close()
        self._resolver.close()

    async def _take_slot(self, timeout: float | None) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(timeout):
                await self._slots.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("as many requests as there are connections are under way") from error


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse, release: Callable[[], None], exchange: HttpExchange | None):
        self._answer = answer
        self._release = release
        self._exchange = exchange
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._answer.content.readany():
                if self._exchange is not None:
                    self._exchange.note_body(chunk)
                yield chunk
            if self._exchange is not None:
                self._exchange.note_body(b"", whole=True)
        except aiohttp.ClientError as error:
            raise as_httpx(error) from error

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._answer.close()  # after a body was read to its end, the connection has already gone back
            self._release()


@lru_cache(maxsize=1024)
def _target(scheme: bytes, netloc: bytes, path: bytes) -> yarl.URL:
    if scheme not in (b"http", b"https") or not netloc:
        raise httpx.UnsupportedProtocol("only http:// and https:// URLs can be requested")
    return yarl.URL(f"{scheme.decode()}://{netloc.decode()}{path.decode()}", encoded=True)


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


def _headers(request: httpx.Request) -> CIMultiDict[str]:
    headers = CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw])
    headers.popall("transfer-encoding", None)  # aiohttp itself frames a body of unknown length
    return headers


def _may_be_repeated(request: httpx.Request) -> bool:
    """Return whether a receiver that already has the request recognises a repeat (RFC 9110, 9.2.2)."""
    if not isinstance(request.stream, httpx.ByteStream):
        return False
    return request.method in IDEMPOTENT or any(name in request.headers for name in REPEATABLE_BY)


def _reason(answer: aiohttp.ClientResponse) -> bytes:
    return (answer.reason or "").encode(errors="surrogateescape")
