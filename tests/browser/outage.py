"""A receiver that dies while jobs for it come in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.browser.site import Site
from tests.support.receiver import Received, read_request
from tests.support.running import eventually

# They are on their way when it dies: a quarter of the slots is for one destination.
WITHOUT_RETRY = 130
SLOTS = 600


@dataclass
class Hooks:
    """A receiver that lets requests hang while it dies, hangs up while it is down, and notes what it has accepted."""

    port: int = 0
    here: int = 0
    accepted: list[int] = field(default_factory=list)
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    is_up: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(await read_request(reader), writer)
        writer.close()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if not self.is_up:
            self.here += 1
            await self.dead.wait()
            raise ConnectionResetError
        self.accepted.append(json.loads(request.body)["data"]["number"])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()


@asynccontextmanager
async def open_hooks() -> AsyncIterator[Hooks]:
    hooks = Hooks()
    server = await asyncio.start_server(hooks.serve, "127.0.0.1", 0, backlog=1000)
    hooks.port = server.sockets[0].getsockname()[1]
    yield hooks
    server.close()


async def goes_down(site: Site, hooks: Hooks, count: int) -> None:
    """Let the receiver die with the first jobs; the others of `count` are enqueued while it is down."""
    hook = {"url": f"http://127.0.0.1:{hooks.port}/hook", "event": "order.packed"}
    jobs = [
        {"kind": "send_webhook", "args": hook | {"data": {"number": number}}}
        | ({"max_attempts": 1} if number < WITHOUT_RETRY else {"retry": {"delays": [0.5, 1, 2, 4, 8]}})
        for number in range(count)
    ]
    await site.call("POST", "/v1/jobs/batch", {"jobs": jobs[:WITHOUT_RETRY]})

    async def all_are_there() -> bool:
        return hooks.here >= WITHOUT_RETRY

    await eventually(all_are_there, 90)
    hooks.dead.set()
    for first in range(WITHOUT_RETRY, count, 1000):
        await site.call("POST", "/v1/jobs/batch", {"jobs": jobs[first : first + 1000]})
