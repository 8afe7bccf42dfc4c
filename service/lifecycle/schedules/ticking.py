"""Ticks become jobs: once, however many workers see them come due, and many schedules at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
from pydantic import ValidationError

from jobs import Catalogue, Kind
from jobs.kit.round_trip import listed
from service.errors import LedgerUnavailable, PostludeError
from service.ledger.models import NewJob
from service.ledger.reads.ticks import recorded_among
from service.ledger.records.ticked import Tick, Ticked
from service.lifecycle.args import accepted_args, describe
from service.lifecycle.enqueue import Enqueuer
from service.lifecycle.following import Following
from service.lifecycle.kinds import known_kind
from service.lifecycle.new_job import new_job
from service.lifecycle.schedules.due import DueTick
from service.queue import NO_CLAIM_MS, Release
from service.schedule_tables import RUN_NOW

log = structlog.get_logger(__name__)

# This many hold up the loop for some 25 ms.
_AT_ONCE = 250


class Ticking:
    """Records due ticks with their jobs, within the hooks of enqueues, and dispatches the jobs."""

    def __init__(self, enqueuer: Enqueuer, following: Following, catalogue: Catalogue) -> None:
        self._enqueuer = enqueuer
        self._following = following
        self._catalogue = catalogue

    async def tick(self, due: Sequence[DueTick], now: datetime) -> frozenset[str]:
        """Deal with ticks; return the schedules that somebody is changing, whose ticks must be decided again.

        Whatever is wrong with a schedule becomes the reason of its tick, and holds up no other schedule.
        """
        deferred: frozenset[str] = frozenset()
        for some in self._batches(due):
            async with self._enqueuer.ledger.read() as connection:
                there = await recorded_among(connection, [(one.plan.name, one.due_at) for one in some])
            wanted = [self._tick_of(one, now, there) for one in some]
            for ticked in await self._record(wanted, now):
                deferred |= ticked.deferred
                await self._let_go(ticked)
        return deferred

    def job_of(self, one: DueTick, now: datetime) -> NewJob:
        """Make the job of a tick. Raises the error if something is wrong with the schedule."""
        plan, due_at = one.plan, one.due_at
        kind = known_kind(self._catalogue, plan.kind)
        tags = ("cron", f"tick:{due_at:%Y-%m-%dT%H:%M:%SZ}", f"schedule:{plan.name}")
        run_at = now if one.reason == RUN_NOW else plan.run_at(due_at)
        options = plan.options._replace(run_at=run_at, tags=(*plan.options.tags, *tags))
        stored = plan.opened_args(self._enqueuer.ledger.vault)
        args = accepted_args(kind, None) if stored is None else kind.load_args(stored)
        return new_job(kind, args, options, now)

    def _batches(self, due: Sequence[DueTick]) -> Iterator[list[DueTick]]:
        """Yield batches: schedules with few ticks first, last the ones that replace jobs and may wait for locks."""
        of_each = [list(ticks) for _, ticks in groupby(due, key=attrgetter("plan.name"))]
        of_each.sort(key=lambda ticks: (_replaces(ticks), len(ticks)))
        in_order = [tick for ticks in of_each for tick in ticks]
        for start in range(0, len(in_order), _AT_ONCE):
            yield in_order[start : start + _AT_ONCE]

    def _tick_of(self, one: DueTick, now: datetime, there: set[tuple[str, datetime]]) -> Tick:
        plan = one.plan
        tick = Tick(
            plan.name,
            plan.kind,
            one.due_at,
            plan.cron,
            one.outcome,
            reason=one.reason,
            revision=plan.revision,
            overlap=plan.overlap,
        )
        if one.outcome != "fired" or tick.key in there:
            return tick
        try:
            return tick.with_job(self.job_of(one, now))
        except Exception as error:  # noqa: BLE001 - an author's validators may raise anything
            reason = _reason(error, self._catalogue.get(plan.kind))
            log.error("cron_tick_failed", schedule=plan.name, due_at=one.due_at.isoformat(), reason=reason)
            return tick.skipped(reason)

    async def _record(self, wanted: Sequence[Tick], now: datetime) -> list[Ticked]:
        """Record ticks. If one cannot be recorded with its job, record the others, and the reason for that one."""
        try:
            return [await self._write(wanted, now)]
        except LedgerUnavailable:
            raise
        except Exception as error:
            if len(wanted) > 1:
                half = len(wanted) // 2
                return [*await self._record(wanted[:half], now), *await self._record(wanted[half:], now)]
            [tick] = wanted
            log.exception("cron_tick_failed", schedule=tick.schedule, due_at=tick.due_at.isoformat())
            refused = tick.skipped(_reason(error, None))
            return [await self._enqueuer.ledger.tick([refused], writer=self._enqueuer.writer, now=now)]

    async def _write(self, wanted: Sequence[Tick], now: datetime) -> Ticked:
        async def write(hooked: Sequence[NewJob]) -> Ticked:
            by_id = {job.id: job for job in hooked}
            ticks = [tick if tick.job is None else tick.with_job(by_id[tick.job.id]) for tick in wanted]
            return await self._enqueuer.ledger.tick(ticks, writer=self._enqueuer.writer, now=now)

        planned = [tick.job for tick in wanted if tick.job is not None]
        return await (self._enqueuer.within_hooks(planned, write) if planned else write(()))

    async def _let_go(self, ticked: Ticked) -> None:
        """Tell the queue, after the commit."""
        for tick in ticked.recorded:
            told = {"schedule": tick.schedule, "due_at": tick.due_at.isoformat()}
            if tick.job is not None:
                log.info("cron_tick", **told, job_id=tick.job.id)
            elif tick.outcome == "skipped":
                log.warning("cron_tick_skipped", **told, reason=tick.reason)
        dispatcher = self._enqueuer.dispatcher
        await dispatcher.dispatch([tick.job for tick in ticked.recorded if tick.job is not None])
        for cancelled in ticked.cancelled:
            self._following.carry_on(cancelled.followed)
        await dispatcher.release(
            [Release(one.member, one.lanes, claim_ms=NO_CLAIM_MS) for one in ticked.cancelled if one.lanes]
        )


def _replaces(ticks: Sequence[DueTick]) -> bool:
    return ticks[0].plan.overlap == "replace"


def _reason(error: Exception, kind: Kind[Any, Any] | None) -> str:
    """Say what is wrong with a schedule, without values of its args, which may be secrets."""
    if isinstance(error, ValidationError) and kind is not None:
        return f"its args no longer fit {kind.name}: {listed(describe(error))}"
    if isinstance(error, PostludeError):
        return error.detail
    return f"its job could not be made ({type(error).__name__}); the worker's log says more"
