"""Bounds the wait for the receiver to take a body: aiohttp has no timeout for writing."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType


class Upload:
    """Iterates over `stream` for aiohttp; inside `async with`, a chunk not taken in `seconds` raises `TimeoutError`."""

    def __init__(self, stream: AsyncIterable[bytes], seconds: float | None):
        self._stream = stream
        self._seconds = seconds
        self._limit = asyncio.timeout(None)
        self._watched = False

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._watched = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watched = False  # an answer may come before the body is sent
        await self._limit.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._expect_in(self._seconds)
            yield chunk
            self._expect_in(None)

    def _expect_in(self, seconds: float | None) -> None:
        if self._watched and not self._limit.expired():
            now = asyncio.get_running_loop().time()
            self._limit.reschedule(None if seconds is None else now + seconds)
