"""Cron: each tick of a kind becomes a job, once, however many workers see it come due."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import structlog

from jobs import Kind
from service.errors import LedgerUnavailable
from service.lifecycle import Lifecycle, Options, new_job

log = structlog.get_logger(__name__)


class Cron:
    """Enqueues ticks as they come due; those that came due while no worker ran are left out."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        now = datetime.now(UTC)
        self._schedule = {
            kind.name: _Ticks(kind, now) for kind in lifecycle.catalogue.values() if kind.cron is not None
        }

    async def tick(self) -> None:
        """Enqueue a job for each kind whose next tick has come."""
        now = datetime.now(UTC)
        for ticks in self._schedule.values():
            if ticks.next_due <= now:
                await self._tick_one(ticks, now)

    async def _tick_one(self, ticks: "_Ticks", now: datetime) -> None:
        try:
            await self._enqueue(ticks.kind, ticks.next_due, now)
        except LedgerUnavailable:
            raise
        except Exception:
            log.exception("cron_tick_failed", kind=ticks.kind.name, due_at=ticks.next_due.isoformat())
        ticks.advance(now)

    async def _enqueue(self, kind: Kind[Any, Any], due_at: datetime, now: datetime) -> None:
        job = new_job(kind, kind.args_model(), Options(tags=("cron",)), now)
        if await self._lifecycle.ledger.tick(kind.name, due_at, job, self._lifecycle.writer):
            log.info("cron_tick", kind=kind.name, due_at=due_at.isoformat(), job_id=job.id)
            await self._lifecycle.dispatch([job])


class _Ticks:
    def __init__(self, kind: Kind[Any, Any], now: datetime) -> None:
        self.kind = kind
        self._coming: Iterator[datetime] = kind.ticks_after(now)
        self.next_due = next(self._coming)

    def advance(self, now: datetime) -> None:
        """Go on to the first tick after `now`."""
        self._coming = self.kind.ticks_after(now)
        self.next_due = next(self._coming)
