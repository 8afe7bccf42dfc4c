"""Connections to checked addresses only.

The check sits where the connection is made, so Host, SNI and certificate keep the URL's name, and the address that is
dialled is the one that was checked: a name that changes its mind in between (DNS rebinding) gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import NoReturn

import httpcore

from jobs.outbound import AddressRefused
from service.outbound.address import Address, Network, canonical, is_refused

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

MOST_DIALLED = 4


class ThreadedResolver:
    """Asks the system's resolver in threads of its own: the loop's threads may all be held by jobs."""

    def __init__(self, max_threads: int):
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Give all addresses of `host`, the preferred first. Raises `OSError` and `UnicodeError`."""
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._threads, _getaddrinfo, host, port)
        return [ip_address(answer) for answer in answers]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str, port: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in infos]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to addresses that are public or in `allow`."""

    def __init__(self, allow: Sequence[Network], resolve: Resolve):
        self._allow = allow
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout) as limit:
                addresses = self._checked(host, await self._addresses(host, port))
                return await self._dial(addresses, port, limit.when(), local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection to {host} in time") from error

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> NoReturn:
        raise httpcore.UnsupportedProtocol("jobs do not reach Unix sockets")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} does not resolve: {error}") from error

    def _checked(self, host: str, answers: Sequence[Address]) -> list[Address]:
        addresses = [canonical(answer) for answer in answers]
        for address in addresses:
            if is_refused(address, self._allow):
                raise AddressRefused(host, address)
        return addresses

    async def _dial(
        self,
        addresses: Sequence[Address],
        port: int,
        deadline: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        """Dial one address after the other; each has an equal share of the time that is left."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        dialled = addresses[:MOST_DIALLED]
        for index, address in enumerate(dialled):
            share = _share(deadline, len(dialled) - index)
            try:
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = httpcore.ConnectError(str(_root(error)))
            except httpcore.ConnectTimeout:
                failure = httpcore.ConnectTimeout(f"no connection to {address} port {port} in time")
        raise failure


def _share(deadline: float | None, parts: int) -> float | None:
    return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time()) / parts


def _root(error: BaseException) -> BaseException:
    while cause := error.__cause__:
        error = cause
    return error
