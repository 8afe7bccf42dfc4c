"""Names to addresses, by the system's resolver."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from service.outbound.address import Address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


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
