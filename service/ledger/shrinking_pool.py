"""A pool that closes connections it has no use for: Postgres has few, and other processes need them."""

import asyncio

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

SHRINK_EVERY_S = 30.0
_CLOSE_WITHIN_S = 5


class ShrinkingPool(AsyncAdaptedQueuePool):
    """Remembers how many of its connections were in use at once."""

    _most_in_use = 0

    def _do_get(self) -> ConnectionPoolEntry:
        entry = super()._do_get()
        self._most_in_use = max(self._most_in_use, self.checkedout())
        return entry

    def shrink(self) -> None:
        """Close the connections that have not been in use since the last call."""
        wanted, self._most_in_use = self._most_in_use, self.checkedout()
        for _ in range(min(self.checkedin(), self.checkedin() + self.checkedout() - wanted)):
            if not self.checkedin():
                return  # others took them while one was being closed
            entry = self._pool.get(block=False)
            self._dec_overflow()
            entry.close()


async def keep_shrinking(engines: set[AsyncEngine], every_s: float = SHRINK_EVERY_S) -> None:
    """Keep shrinking the pools of engines."""
    while True:
        await asyncio.sleep(every_s)
        for engine in engines:
            await _shrink(engine)


async def _shrink(engine: AsyncEngine) -> None:
    pool = engine.pool
    if not isinstance(pool, ShrinkingPool) or not pool.checkedin():
        return
    try:
        async with asyncio.timeout(_CLOSE_WITHIN_S), engine.connect() as connection:
            await connection.run_sync(lambda _: pool.shrink())
    except (SQLAlchemyError, OSError, TimeoutError):
        return  # the database is away; dead connections are no burden to it
