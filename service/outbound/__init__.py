"""The HTTP client that jobs are given: it reaches public addresses, and others only where the settings say so."""

from collections.abc import Sequence
from importlib.metadata import version

import httpx

from jobs.kit.http_errors import AddressRefused
from service.outbound.address import Network
from service.outbound.client import OutboundClient
from service.outbound.resolver import Resolve
from service.outbound.transport import GuardedTransport

__all__ = ["AddressRefused", "Network", "open_http"]

TIMEOUT = httpx.Timeout(30, connect=10)


def open_http(allow: Sequence[Network], max_connections: int, *, resolve: Resolve | None = None) -> httpx.AsyncClient:
    """Open the client; close it with `async with` or `aclose()`.

    It takes nothing from the environment, follows no redirects and keeps no cookies. A host with an address that is
    neither public nor in `allow` raises `AddressRefused`. `max_connections` is best the number of jobs that can run at
    once.
    """
    transport = GuardedTransport(allow, max_connections, resolve=resolve)
    return OutboundClient(transport, user_agent=f"Postlude/{version('postlude')}", timeout=TIMEOUT)
