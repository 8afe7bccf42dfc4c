"""A proxy that treats connections as networks do: it delays, swallows, slices, resets and refuses."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

Address = Path | tuple[str, int]
"""A Unix socket, or a host and a port."""

LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    lost_bytes: bool = False
    """Bytes that fell into the black hole never arrive: such a connection stays silent until it is closed."""

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


@dataclass
class FaultProxy:
    """Forwards to `target`; its faults are switched while it runs, and concern established connections too."""

    target: Address
    listen: Path | None = None
    """A Unix socket to listen on; without one, `port` of loopback."""

    latency_s: float = 0
    """Wait before each piece that is forwarded, in each direction."""
    jitter_s: float = 0
    """At most this much more, by chance."""
    slice_bytes: int = 0
    """Write 1 to this many bytes at a time."""
    bytes_per_s: float = 0
    black_hole: bool = False
    """Accept connections and swallow everything; not even a close passes."""
    resets: bool = False
    """Reset each new connection at once; `reset()` is for established ones."""

    chance: random.Random = field(default_factory=lambda: random.Random(0))
    port: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    _server: asyncio.Server | None = field(default=None, init=False)
    _connections: set[_Connection] = field(default_factory=set, init=False)
    _serving: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def start(self) -> None:
        """Listen, or listen again after `refuse()`, on the same port."""
        if self.listen is not None:
            self.listen.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self.listen)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse new connections until `start()`; established ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def reset(self) -> None:
        """Reset every established connection (RST over TCP, a close on a Unix socket)."""
        for connection in list(self._connections):
            connection.reset()

    def heal(self) -> None:
        """End every fault but `refuse()`."""
        self.latency_s = self.jitter_s = self.slice_bytes = self.bytes_per_s = 0
        self.black_hole = self.resets = False

    async def stop(self) -> None:
        self.refuse()
        self.reset()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(writer)
        self._serving.add(task)
        self._connections.add(connection)
        # A task that ended cancelled would be reported by asyncio's server as an unhandled error.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._forward(connection, reader)
        connection.reset()
        self._connections.discard(connection)
        self._serving.discard(task)

    async def _forward(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        if self.resets:
            return
        if isinstance(self.target, Path):
            answers, connection.server = await asyncio.open_unix_connection(self.target)
        else:
            answers, connection.server = await asyncio.open_connection(*self.target)
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._pump(connection, reader, connection.server))
            pumps.create_task(self._pump(connection, answers, connection.client))

    async def _pump(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                if self.latency_s or self.jitter_s:
                    await asyncio.sleep(self.latency_s + self.chance.uniform(0, self.jitter_s))
                connection.lost_bytes |= self.black_hole
                if not connection.lost_bytes:
                    await self._write(writer, piece)
        while self.black_hole:
            await asyncio.sleep(0.01)
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        while piece:
            size = self.chance.randint(1, self.slice_bytes) if self.slice_bytes else len(piece)
            writer.write(piece[:size])
            await writer.drain()
            if self.bytes_per_s:
                await asyncio.sleep(min(size, len(piece)) / self.bytes_per_s)
            elif self.slice_bytes:
                await asyncio.sleep(0)
            piece = piece[size:]


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0 and raw.family != socket.AF_UNIX:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()


@asynccontextmanager
async def proxying(target: Address, listen: Path | None = None) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of `target`: `async with proxying(redis_server.socket) as proxy: ... proxy.port`.

    asyncpg reaches a Postgres that listens on `<folder>/.s.PGSQL.5432` by TCP through it:
    `postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}`.
    """
    proxy = FaultProxy(target, listen)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
