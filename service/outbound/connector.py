"""Connections to checked addresses only.

The check sits where the connection is made, so Host, SNI and certificate keep the URL's name, and the address that is
dialled is the one that was checked: a name that changes its mind in between (DNS rebinding) gains nothing.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import httpx
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection

from jobs.kit.http_errors import AddressRefused, NameNotResolved
from service.outbound.address import Address, Network, canonical, is_refused
from service.outbound.connection import GuardedConnection
from service.outbound.resolver import Resolve

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

# Below what common servers keep: gunicorn closes after 2 s, Node and uvicorn after 5.
KEEPALIVE_S = 1.5
MOST_DIALLED = 4

_wants_fresh: ContextVar[bool] = ContextVar("_wants_fresh", default=False)


@contextmanager
def fresh_connection() -> Iterator[None]:
    """Use no kept connection for the requests made inside."""
    before = _wants_fresh.set(True)
    try:
        yield
    finally:
        _wants_fresh.reset(before)


class GuardedConnector(aiohttp.TCPConnector):
    """Dials addresses that are public or in `allow`, several at once where the first is slow (RFC 8305).

    Names, IP literals and forms that only the system reads as addresses (`127.1`) are treated alike: resolve, check
    all, dial. If aiohttp ever resolves in another way, the check of each socket still refuses.
    """

    def __init__(self, allow: Sequence[Network], max_kept: int, resolve: Resolve):
        context = httpx.create_ssl_context(trust_env=False)
        context.set_alpn_protocols(["http/1.1"])
        super().__init__(
            ssl=context,
            use_dns_cache=False,
            keepalive_timeout=KEEPALIVE_S,
            limit=0,  # the transport bounds requests, so that a wait for a slot differs from a slow connection
            socket_factory=self._checked_socket,
        )
        self._factory = cast(Any, partial(GuardedConnection, self._loop))
        self._allow = tuple(allow)
        self._resolve = resolve
        self._max_kept = max_kept
        self._kept: set[ResponseHandler] = set()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list["Trace"], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        self._keep_or_use_once(connection.protocol)
        return connection

    async def _get(self, key: "ConnectionKey", traces: list["Trace"]) -> Connection | None:
        return None if _wants_fresh.get() else await super()._get(key, traces)

    def _keep_or_use_once(self, protocol: ResponseHandler | None) -> None:
        # aiohttp bounds the connections in use, but not the idle ones: posts to many hosts would pile them up.
        if protocol is None or protocol in self._kept:
            return
        if len(self._kept) >= self._max_kept:
            self._kept = {kept for kept in self._kept if kept.is_connected()}
        if len(self._kept) < self._max_kept:
            self._kept.add(protocol)
        else:
            protocol.force_close()

    async def _resolve_host(self, host: str, port: int, traces: Sequence["Trace"] | None = None) -> list[ResolveResult]:
        addresses = [canonical(answer) for answer in await self._addresses(host, port)]
        for address in addresses:
            if is_refused(address, self._allow):
                raise AddressRefused(host, address)
        return [_result(host, address, port) for address in _in_turns(addresses)[:MOST_DIALLED]]

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            answers = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise NameNotResolved(host, str(error)) from error
        if not answers:
            raise NameNotResolved(host, "the name has no address")
        return answers

    def _checked_socket(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_rest) = info
        address = canonical(ip_address(host))
        if is_refused(address, self._allow):
            raise AddressRefused(str(host), address)
        return socket.socket(family, kind, protocol)


def _in_turns(addresses: Sequence[Address]) -> list[Address]:
    """Order addresses so that both families are among the first: one of them may have no route at all (RFC 8305, 4)."""
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [address for address in pairs if address is not None]


def _result(host: str, address: Address, port: int) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=0)
