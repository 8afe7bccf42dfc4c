"""A receiver on a raw loopback socket that plays a script on each connection: it may answer wrongly, or unasked."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Line:
    """One connection, seen from the receiver; `number` counts them from 1."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes]

    async def request(self) -> bytes:
        """Read a whole request; raises `asyncio.IncompleteReadError` when the client hangs up instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((int(one[15:]) for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")), 0)
        self.requests.append(head + await self.reader.readexactly(length))
        return self.requests[-1]

    async def say(self, *segments: bytes) -> None:
        """Write each of `segments`, so that it arrives on its own."""
        for segment in segments:
            self.writer.write(segment)
            await self.writer.drain()
            await asyncio.sleep(0.01 if len(segments) > 1 else 0)

    async def answer(self, *segments: bytes) -> bytes:
        request = await self.request()
        await self.say(*segments)
        return request

    async def drip(self, data: bytes, every_s: float = 0.05) -> None:
        """Say `data` over and over, a byte at a time, until the client hangs up."""
        while True:
            for byte in data:
                await self.say(bytes([byte]))
                await asyncio.sleep(every_s)

    async def hung_up(self) -> None:
        """Wait until the client has closed its end."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Line], Awaitable[None]]


def always(*segments: bytes) -> Script:
    """Answer every request with `segments`, and keep the connection open."""

    async def script(line: Line) -> None:
        while True:
            await line.answer(*segments)

    return script


@dataclass
class RawReceiver:
    script: Script
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    playing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = Line(self.connections, reader, writer, self.requests)
        task = asyncio.get_running_loop().create_task(self._play(line))
        self.playing.add(task)
        task.add_done_callback(self.playing.discard)

    async def _play(self, line: Line) -> None:
        try:
            await self.script(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            line.writer.close()


@asynccontextmanager
async def raw_receiver(script: Script) -> AsyncIterator[RawReceiver]:
    """Play `script` on each connection; a connection is closed when its script ends."""
    receiver = RawReceiver(script)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(receiver.playing):
            task.cancel()
        await asyncio.gather(*receiver.playing, return_exceptions=True)
        await server.wait_closed()
