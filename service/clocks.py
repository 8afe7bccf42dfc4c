"""Measures how far the clocks of the database and Redis are from this machine's; see `agreed_time`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from arq.connections import ArqRedis

from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.queue import UNREACHABLE

log = structlog.get_logger(__name__)

LARGEST_SKEW = timedelta(seconds=1)
_EVERY_S = 30.0
# How soon a clock that was set is noticed.
_LOOK_EVERY_S = 1.0
_AGREED_WITHIN_S = 1.0
# A slower answer says too little about the time.
_SLOWEST_ANSWER = timedelta(seconds=0.5)


class Skew(NamedTuple):
    """How far another clock is ahead of ours, and how well that was measured."""

    ahead: timedelta
    within: timedelta


def _now() -> datetime:
    return datetime.now(UTC)


class Clocks:
    """Measures skew now and then, makes the process go by the servers' time, and logs when skew begins and ends."""

    def __init__(self, database: Database, redis: ArqRedis, now: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._redis = redis
        self._now = now
        self._skewed: set[str] = set()
        self._next = 0.0

    async def compare(self) -> None:
        """Measure if it is time to, and go by Redis' clock, or by the database's while Redis is away.

        Without both, the last agreement holds. Without Redis beside SQLite, this machine's clock is the clock of all
        processes: once it has been set, they go by it at once. SQLite's leases go by the agreed time as well, so no
        process may notice long before another.
        """
        has_jumped = agreed_time.has_jumped()
        if time.monotonic() < self._next and not has_jumped:
            return
        self._next = time.monotonic() + _EVERY_S
        measured = await self._measure()
        behind = measured.get("redis", measured.get("database"))
        if behind is not None:
            agreed_time.agree(*behind)
        elif has_jumped and self._database.dialect == "sqlite":
            agreed_time.agree(timedelta(0))
        for clock, skew in measured.items():
            self._tell(clock, skew.ahead)

    async def agree_soon(self) -> None:
        """Compare before anything is decided by time; a silent server delays the start only briefly."""
        _, late = await asyncio.wait({asyncio.create_task(self.compare())}, timeout=_AGREED_WITHIN_S)
        for task in late:
            task.cancel()

    async def keep(self) -> None:
        """Compare again and again, for a process without a sweep that does it."""
        while True:
            await self.compare()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def measure(self) -> dict[str, timedelta]:
        """Return how far each other clock is ahead of ours; one that does not answer soon is left out."""
        return {clock: skew.ahead for clock, skew in (await self._measure()).items()}

    async def _measure(self) -> dict[str, Skew]:
        measured = {}
        if self._database.dialect != "sqlite":  # whose clock is ours
            try:
                async with self._database.connect() as connection:
                    measured["database"] = await self._ahead(lambda: self._database.now(connection))
            except LedgerUnavailable:
                log.debug("clock_not_compared", clock="database")
        try:
            async with asyncio.timeout(_SLOWEST_ANSWER.total_seconds()):
                measured["redis"] = await self._ahead(self._redis_now)
        except UNREACHABLE:
            log.debug("clock_not_compared", clock="redis")
        return {clock: skew for clock, skew in measured.items() if skew is not None}

    async def _ahead(self, read: Callable[[], Awaitable[datetime]]) -> Skew | None:
        before = self._now()
        theirs = await read()
        took = self._now() - before
        return None if took > _SLOWEST_ANSWER else Skew(theirs - (before + took / 2), within=took / 2)

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
            remedy = "run NTP on all machines; until then this process goes by the servers' time"
            log.warning("clock_skew", clock=clock, ahead_s=round(skew.total_seconds(), 3), remedy=remedy)
