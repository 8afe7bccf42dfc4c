"""How far the database's and Redis' clocks are from this machine's: leases, due times and logs go by different ones."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from arq.connections import ArqRedis

from service.ledger.database import Database
from service.queue import UNREACHABLE

log = structlog.get_logger(__name__)

LARGEST_SKEW = timedelta(seconds=1)
_EVERY_S = 30.0
# An answer that took longer tells too little about the time.
_SLOWEST_ANSWER = timedelta(seconds=0.5)


def _now() -> datetime:
    return datetime.now(UTC)


class Clocks:
    """Measures skew now and then, and says once when it begins and ends."""

    def __init__(self, database: Database, redis: ArqRedis, now: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._redis = redis
        self._now = now
        self._skewed: set[str] = set()
        self._next = 0.0

    async def compare(self) -> None:
        """Measure, if it is time to. Raises `LedgerUnavailable`."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        for clock, skew in (await self.measure()).items():
            self._tell(clock, skew)

    async def measure(self) -> dict[str, timedelta]:
        """Give how far each other clock is ahead of ours; one that does not answer soon is left out."""
        measured = {}
        if self._database.dialect != "sqlite":  # whose clock is ours
            async with self._database.connect() as connection:
                measured["database"] = await self._ahead(lambda: self._database.now(connection))
        try:
            async with asyncio.timeout(_SLOWEST_ANSWER.total_seconds()):
                measured["redis"] = await self._ahead(self._redis_now)
        except UNREACHABLE:
            log.debug("clock_not_compared", clock="redis")
        return {clock: skew for clock, skew in measured.items() if skew is not None}

    async def _ahead(self, read: Callable[[], Awaitable[datetime]]) -> timedelta | None:
        before = self._now()
        theirs = await read()
        took = self._now() - before
        return None if took > _SLOWEST_ANSWER else theirs - (before + took / 2)

    async def _redis_now(self) -> datetime:
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def _tell(self, clock: str, skew: timedelta) -> None:
        if abs(skew) <= LARGEST_SKEW:
            if clock in self._skewed:
                log.info("clocks_agree_again", clock=clock)
            self._skewed.discard(clock)
        elif clock not in self._skewed:
            self._skewed.add(clock)
            remedy = "run NTP on all machines: jobs start that much too early or too late"
            log.warning("clock_skew", clock=clock, ahead_s=round(skew.total_seconds(), 3), remedy=remedy)
