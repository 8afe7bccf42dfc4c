"""A server that ends as soon as it is told to: uvicorn looks ten times a second, and waits for a tenth of one then."""

import asyncio
import contextlib
import itertools
import socket

import uvicorn

_TICK_S = 0.1
_CLOSED_EVERY_S = 0.01


class PromptServer(uvicorn.Server):
    """Ends in uvicorn's order, for tests that start hundreds of servers. Call `stop` in the loop that serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        assert config.timeout_graceful_shutdown is None, "the end is not bounded here"
        self._told = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(_CLOSED_EVERY_S)
        await self.lifespan.shutdown()
