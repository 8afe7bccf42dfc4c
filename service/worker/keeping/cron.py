"""Cron: each tick of a kind becomes a job, once, however many workers see it come due."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import structlog

from jobs import Kind
from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.reads.ticks import latest_ticks
from service.lifecycle.lifecycle import Lifecycle

log = structlog.get_logger(__name__)

# A tick noticed later than this was missed; the kind's `catch_up` says what becomes of it.
ON_TIME = timedelta(seconds=10)
MOST_CAUGHT_UP = 1_000


@dataclass
class _Schedule:
    """The ticks of a kind. Ticks up to `since` have been dealt with."""

    kind: Kind[Any, Any]
    since: datetime
    next_due: datetime = field(init=False)
    behind_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.go_on_from(self.since)

    def go_on_from(self, since: datetime) -> None:
        coming = self.kind.ticks_after(since)
        self.since, self.next_due, self.behind_at = since, next(coming), next(coming)

    def due(self, now: datetime) -> list[datetime]:
        """Return the latest ticks that have come due, oldest first; one more than `MOST_CAUGHT_UP` stand for all."""
        latest_first = takewhile(lambda tick: tick > self.since, self.kind.ticks_until(now))
        return list(islice(latest_first, MOST_CAUGHT_UP + 1))[::-1]


class Cron:
    """Enqueues ticks as they come due, and missed ticks as their kinds say."""

    def __init__(self, lifecycle: Lifecycle, clock: Callable[[], datetime] = agreed_time.now) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        now = clock()
        self._schedules = [_Schedule(kind, now) for kind in lifecycle.catalogue.values() if kind.cron is not None]
        self._seen: datetime | None = None

    async def tick(self) -> None:
        """Enqueue a job for each tick that has come due. Touches the ledger only for one, and after a gap in time."""
        if not self._schedules:
            return
        now = self._clock()
        if self._has_gap(now):
            await self._look_up(now)
        for schedule in self._schedules:
            if schedule.next_due <= now:
                await self._enqueue_due(schedule, now)
        self._seen = now

    def _has_gap(self, now: datetime) -> bool:
        """Whether ticks may have been missed: the process has just begun, or something stopped it or set its clock."""
        if self._seen is None or not self._seen <= now <= self._seen + ON_TIME:
            return True
        return any(schedule.behind_at <= now for schedule in self._schedules)

    async def _look_up(self, now: datetime) -> None:
        """Go on from the ticks in the ledger: other workers may have recorded some meanwhile."""
        async with self._lifecycle.ledger.read() as connection:
            latest = await latest_ticks(connection, [schedule.kind.name for schedule in self._schedules], now)
        for schedule in self._schedules:
            due_at, cron = latest.get(schedule.kind.name, (None, None))
            # A kind that never ticked, or whose expression is new, has missed nothing before it was seen here.
            known = due_at if due_at is not None and cron == schedule.kind.cron else schedule.since
            schedule.go_on_from(known if self._seen is None else min(now, max(known, schedule.since)))

    async def _enqueue_due(self, schedule: _Schedule, now: datetime) -> None:
        due = schedule.due(now)
        wanted = _wanted(schedule.kind, due, now)
        if len(wanted) < len(due):
            _report_skipped(schedule.kind, due, wanted)
        for due_at in wanted:
            await self._enqueue(schedule.kind, due_at, now)
            schedule.since = due_at
        schedule.go_on_from(now)

    async def _enqueue(self, kind: Kind[Any, Any], due_at: datetime, now: datetime) -> None:
        try:
            job = await self._lifecycle.tick(kind, due_at, now)
        except LedgerUnavailable:
            raise
        except Exception:
            log.exception("cron_tick_failed", kind=kind.name, due_at=due_at.isoformat())
            return
        if job is not None:
            log.info("cron_tick", kind=kind.name, due_at=due_at.isoformat(), job_id=job.id)


def _wanted(kind: Kind[Any, Any], due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Choose the due ticks that become jobs."""
    match kind.catch_up:
        case "all":
            return due[-MOST_CAUGHT_UP:]
        case "none":
            return [tick for tick in due[-1:] if tick >= now - ON_TIME]
        case _:
            return due[-1:]


def _report_skipped(kind: Kind[Any, Any], due: Sequence[datetime], wanted: Sequence[datetime]) -> None:
    skipped = len(due) - len(wanted)
    log.warning(
        "cron_ticks_skipped",
        kind=kind.name,
        catch_up=kind.catch_up,
        skipped=skipped if len(due) <= MOST_CAUGHT_UP else f"{skipped} or more",
        first=due[0].isoformat(),
        enqueued=len(wanted),
    )
