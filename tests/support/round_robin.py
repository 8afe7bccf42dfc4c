"""One address for several servers, as a load balancer gives it: each connection goes to the next that takes it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


@asynccontextmanager
async def round_robin(ports: Sequence[int]) -> AsyncIterator[int]:
    """Serve ports of loopback in turn; return the port in front of them."""
    turns = itertools.cycle(ports)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in ports:
            with contextlib.suppress(OSError):
                answers, server = await asyncio.open_connection("127.0.0.1", next(turns))
                await asyncio.gather(_pump(reader, server), _pump(answers, writer))
                return
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2_048)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()
