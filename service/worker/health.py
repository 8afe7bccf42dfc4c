"""The key that `arq --check` looks at: written while the worker's loop turns, and gone soon after it stops turning."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from arq.connections import ArqRedis

from service.queue import UNREACHABLE

log = structlog.get_logger(__name__)

_EVERY_S = 3.5
_KEPT_MS = 5_500


class Health:
    """`async with Health(...)`: meanwhile the worker counts as healthy as long as its event loop and Redis are."""

    def __init__(self, redis: ArqRedis, key: str, describe: Callable[[], str]) -> None:
        self._redis = redis
        self._key = key
        self._describe = describe
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._keep(), name="health")
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        self._writing.cancel()
        await asyncio.wait({self._writing})
        with contextlib.suppress(*UNREACHABLE):
            await self._redis.delete(self._key)

    async def _keep(self) -> None:
        while True:
            try:
                await self._redis.set(self._key, self._describe(), px=_KEPT_MS)
            except UNREACHABLE as error:
                log.debug("health_not_written", error=str(error))
            if self._is_over:
                return  # redis-py turns a cancellation while it connects into an error of its own
            await asyncio.sleep(_EVERY_S)
