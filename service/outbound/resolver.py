"""Names to addresses, by the system's resolver."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

from service.outbound.address import Address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class ThreadedResolver:
    """Asks the system's resolver in threads of its own: jobs may hold all threads of the loop.

    Simultaneous callers for the same name share one lookup, so that a name with silent servers holds one thread, not
    all of them.
    """

    def __init__(self, max_threads: int):
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="resolve")
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Return all addresses of `host`, the preferred first. Raises `OSError` and `UnicodeError`."""
        asked = self._asked.get((host, port)) or self._ask(host, port)
        answers = await asyncio.shield(asked)
        return [ip_address(answer) for answer in answers]

    def _ask(self, host: str, port: int) -> "asyncio.Future[list[str]]":
        asked = asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        self._asked[host, port] = asked
        asked.add_done_callback(partial(self._answered, (host, port)))
        return asked

    def _answered(self, question: tuple[str, int], asked: "asyncio.Future[list[str]]") -> None:
        del self._asked[question]
        if not asked.cancelled():
            asked.exception()  # the caller may have gone meanwhile

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str, port: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in infos]
