"""Cron: the ticks of all schedules, the kinds' own and the ones made at run time, as they come due."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import RowMapping

from jobs.kit.cron import CronInvalid
from service import agreed_time
from service.ledger.reads import schedules as reads
from service.ledger.reads.ticks import latest_ticks
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.schedules.due import MOST_CAUGHT_UP, ON_TIME, DueTick, due_ticks
from service.lifecycle.schedules.plan import Plan, kinds_with_ticks, plan_of_kind, plan_of_row

log = structlog.get_logger(__name__)

_NEVER = datetime.max.replace(tzinfo=UTC)
_LOOK_EVERY = timedelta(seconds=1)
_LEFT_TO_OTHERS = timedelta(seconds=8)
# After this many, the loop turns once: finding the next tick of a rare expression takes some milliseconds.
_IN_A_TURN = 20
# After this many, timers that have come due meanwhile have their turn.
_IN_A_PASS = 250


@dataclass(eq=False)
class _Timer:
    """The ticks of a plan.

    Ticks up to `since` have been dealt with; `seen_at` is when the next ones were seen to be due.
    """

    plan: Plan
    since: datetime
    seen_at: datetime = field(init=False)
    next_due: datetime | None = field(init=False)
    follows_at: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        self.go_on_from(self.since)

    def go_on_from(self, since: datetime) -> None:
        coming = self.plan.after(since)
        self.since, self.next_due, self.follows_at = since, next(coming, None), next(coming, None)

    def was_behind(self) -> bool:
        """Whether several ticks were due, so that other workers may have dealt with some."""
        return self.follows_at is not None and self.follows_at <= self.seen_at


class Cron:
    """Deals with ticks as they come due, and with missed ticks as their schedules ask."""

    def __init__(self, lifecycle: Lifecycle, clock: Callable[[], datetime] = agreed_time.now) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._kinds = kinds_with_ticks(lifecycle.catalogue)
        self._began = clock()
        self._timers: dict[str, _Timer] = {}
        self._coming: list[tuple[datetime, int, int, _Timer]] = []
        self._due: deque[_Timer] = deque()
        self._signature: tuple[int, int] | None = None
        self._looked: datetime | None = None
        self._seen: datetime | None = None

    async def tick(self) -> bool:
        """Deal with ticks that have come due, and look each second whether a user has changed a schedule.

        Returns whether there are more: a crowd is dealt with in passes.
        """
        now = self._clock()
        await self._look(now)
        if self._seen is None or not self._seen <= now <= self._seen + ON_TIME:
            # The process has just begun, or something stopped it or set its clock.
            await self._go_on_from_ledger(list(self._timers.values()), now)
            self._queue_all()
        self._see_due(now)
        timers = self._next_due()
        try:
            await self._go_on_from_ledger([one for one in timers if one.was_behind()], now)
            await self._deal_with(timers, now)
        finally:
            self._push(timers)
        self._seen = now
        return bool(self._due)

    async def _look(self, now: datetime) -> None:
        """Take over what users have changed since the last look."""
        if self._looked is not None and self._looked <= now < self._looked + _LOOK_EVERY:
            return
        async with self._lifecycle.ledger.read() as connection:
            signature = await reads.signature(connection)
            if signature != self._signature:
                revisions = await reads.revisions(connection)
                known = {name: timer.plan.revision for name, timer in self._timers.items()}
                changed = {name for name, revision in revisions.items() if known.get(name) != revision}
                rows = {row["name"]: row for row in await reads.rows_of(connection, changed)}
                await self._take_over(rows, known.keys() - revisions.keys(), now)
        self._signature, self._looked = signature, now

    async def _take_over(self, rows: Mapping[str, RowMapping], without_row: Iterable[str], now: datetime) -> None:
        """Make timers for changed rows, and for kinds without a row; forget schedules that are gone."""
        gone = [name for name in without_row if name not in self._kinds]
        for name in gone:
            del self._timers[name]
        plans = [plan for row in rows.values() if (plan := self._plan_of(row)) is not None]
        new = [name for name in self._kinds if name not in rows and name not in self._timers]
        plans += [plan_of_kind(self._kinds[name], None) for name in new]
        for number, plan in enumerate(plans):
            self._timers[plan.name] = _Timer(plan, self._since(plan, rows.get(plan.name), now))
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)
        self._queue_all()

    def _plan_of(self, row: RowMapping) -> Plan | None:
        kind = self._kinds.get(row["name"])
        if kind is not None:
            return plan_of_kind(kind, row)
        if row["kind"] is None:  # the schedule of a kind that this process does not know
            return None
        try:
            return plan_of_row(row)
        except CronInvalid as error:
            self._timers.pop(row["name"], None)
            log.error("schedule_unusable", schedule=row["name"], reason=str(error))
            return None

    def _since(self, plan: Plan, row: RowMapping | None, now: datetime) -> datetime:
        """Return up to when a plan's ticks have been dealt with, according to its row and this process."""
        timer = self._timers.get(plan.name)
        since = None if row is None else row["since"]
        if since is None:
            since = timer.since if timer is not None else self._began
        return min(since, now)

    async def _go_on_from_ledger(self, timers: Sequence[_Timer], now: datetime) -> None:
        """Go on from the latest ticks in the ledger: other workers may have dealt with some meanwhile."""
        if not timers:
            return
        async with self._lifecycle.ledger.read() as connection:
            latest = await latest_ticks(connection, [timer.plan.name for timer in timers], now)
        for number, timer in enumerate(timers):
            due_at, cron = latest.get(timer.plan.name, (None, None))
            # A schedule that never ticked, or that has a new expression, has missed nothing before it was seen here.
            known = due_at if due_at is not None and cron == timer.plan.cron else timer.since
            is_first = self._seen is None and timer.plan.source == "code"
            timer.go_on_from(known if is_first else min(now, max(known, timer.since)))
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)

    async def _deal_with(self, timers: Sequence[_Timer], now: datetime) -> None:
        due: list[DueTick] = []
        for number, timer in enumerate(timers):
            ticks = due_ticks(timer.plan, timer.since, timer.seen_at)
            due += ticks
            _report_missed(timer.plan, ticks)
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)
        deferred = await self._lifecycle.ticking.tick(due, now) if due else frozenset()
        for number, timer in enumerate(timers):
            if timer.plan.name not in deferred:
                timer.go_on_from(timer.seen_at)
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)

    def _see_due(self, now: datetime) -> None:
        """Take the timers that have come due, the most frequent last.

        A timer that was replaced, or has gone on since it was queued, is dropped.
        """
        seen = []
        while self._coming and self._coming[0][0] <= now:
            wakes_at, _, _, timer = heapq.heappop(self._coming)
            if self._timers.get(timer.plan.name) is timer and wakes_at == self._wakes_at(timer):
                timer.seen_at = now
                seen.append(timer)
        self._due.extend(sorted(seen, key=lambda one: one.follows_at or _NEVER, reverse=True))

    def _next_due(self) -> list[_Timer]:
        """Take the timers that were seen last, which no crowd should delay, and as many that have waited longest."""
        count = min(len(self._due), _IN_A_PASS)
        last = [self._due.pop() for _ in range(count // 2)]
        return last + [self._due.popleft() for _ in range(count - count // 2)]

    def _queue_all(self) -> None:
        self._coming, self._due = [], deque()
        self._push(self._timers.values())

    def _push(self, timers: Iterable[_Timer]) -> None:
        for timer in timers:
            if (wakes_at := self._wakes_at(timer)) is not None:
                # The hash of a text differs between processes, so that they share a crowd.
                heapq.heappush(self._coming, (wakes_at, hash(timer.plan.name), id(timer), timer))

    def _wakes_at(self, timer: _Timer) -> datetime | None:
        """Return when a timer wakes.

        A tick of an unknown kind is left to newer workers that may know it, while it is on time.
        """
        if timer.next_due is None or timer.plan.kind in self._lifecycle.catalogue:
            return timer.next_due
        return timer.next_due + _LEFT_TO_OTHERS


def _report_missed(plan: Plan, ticks: Sequence[DueTick]) -> None:
    missed = [tick for tick in ticks if tick.outcome == "missed"]
    if missed and not plan.paused:
        log.warning(
            "cron_ticks_missed",
            schedule=plan.name,
            catch_up=plan.catch_up,
            missed=len(missed) if len(ticks) <= MOST_CAUGHT_UP else f"{len(missed)} or more",
            first=missed[0].due_at.isoformat(),
            enqueued=len(ticks) - len(missed),
        )
