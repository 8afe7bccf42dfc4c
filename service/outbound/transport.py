"""An httpx transport over a pool of guarded connections."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import httpcore
import httpx

from service.outbound.address import Network
from service.outbound.network import GuardedBackend, Resolve, ThreadedResolver

MOST_RESOLVER_THREADS = 32


class GuardedTransport(httpx.AsyncBaseTransport):
    """Owns its pool; changing the private one of `httpx.AsyncHTTPTransport` would lose the guard were that renamed."""

    def __init__(self, allow: Sequence[Network], max_connections: int, *, resolve: Resolve | None = None):
        self._resolver = ThreadedResolver(min(max_connections, MOST_RESOLVER_THREADS))
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            # httpcore walks its connections on each request to close surplus idle ones unless the two are equal.
            max_keepalive_connections=max_connections,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(tuple(allow), resolve or self._resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _httpx_errors():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        assert isinstance(response.stream, AsyncIterable)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()
        self._resolver.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]):
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        if close := getattr(self._stream, "aclose", None):
            await close()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise httpcore's errors as httpx's, which have the same names."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
