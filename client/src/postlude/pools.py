"""The connections of a client: opened when first needed, and never shared with a forked process or another loop.

Requests whose answers the service holds back have their own pool, so that others find connections however many wait.
"""

import asyncio
import os
from typing import NamedTuple

import httpx

from postlude.place import Place
from postlude.requests import Request


class _Use(NamedTuple):
    """Who uses a pool, and for what."""

    pid: int
    is_held: bool
    loop: asyncio.AbstractEventLoop | None = None


class Pool:
    """Pools for all threads of a process."""

    def __init__(self, place: Place, transport: httpx.BaseTransport | None) -> None:
        self._place, self._transport = place, transport
        self._opened: dict[_Use, httpx.Client] = {}

    def to_send(self, request: Request) -> httpx.Client:
        use = _Use(os.getpid(), request.is_held)
        if use not in self._opened:
            opened = httpx.Client(transport=self._transport, **self._place.options(request))
            self._opened.setdefault(use, opened)  # another thread may have opened one meanwhile
        return self._opened[use]

    def close(self) -> None:
        for is_held in (False, True):
            if opened := self._opened.pop(_Use(os.getpid(), is_held), None):
                opened.close()


class AsyncPool:
    """Pools for each event loop of a process."""

    def __init__(self, place: Place, transport: httpx.AsyncBaseTransport | None) -> None:
        self._place, self._transport = place, transport
        self._opened: dict[_Use, httpx.AsyncClient] = {}

    def to_send(self, request: Request) -> httpx.AsyncClient:
        use = _Use(os.getpid(), request.is_held, asyncio.get_running_loop())
        if use not in self._opened:
            self._forget_closed_loops()
            self._opened[use] = httpx.AsyncClient(transport=self._transport, **self._place.options(request))
        return self._opened[use]

    async def close(self) -> None:
        for is_held in (False, True):
            if opened := self._opened.pop(_Use(os.getpid(), is_held, asyncio.get_running_loop()), None):
                await opened.aclose()

    def _forget_closed_loops(self) -> None:
        """Drop connections that can no longer be used or closed: `asyncio.run` ends its loop with each call."""
        for use in [one for one in list(self._opened) if one.loop and one.loop.is_closed()]:
            self._opened.pop(use, None)
