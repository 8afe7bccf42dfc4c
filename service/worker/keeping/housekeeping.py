"""Runs what a worker does beside performing jobs: lease, sweep, cron, cancellations. Each survives any outage."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from service.errors import LedgerUnavailable
from service.ledger.liveness import HEARTBEAT_EVERY
from service.queue import UNREACHABLE, refusal_of
from service.worker.backoff import outage_waits
from service.worker.keeping.cancellations import Cancellations
from service.worker.keeping.cron import Cron
from service.worker.keeping.sweep import Sweep
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.performing.attempt import Performer

log = structlog.get_logger(__name__)

OUTAGES = (*UNREACHABLE, LedgerUnavailable)
_LEASE_EVERY_S = 0.5
_SWEEP_EVERY_S = 1.0
_CRON_EVERY_S = 0.25
_CANCEL_EVERY_S = 0.5
_LAST_PASS_S = 2.0


class Housekeeping:
    """`async with Housekeeping(...)`: registers the worker, keeps house, and at the end takes it off the books."""

    def __init__(self, performer: Performer) -> None:
        self._workload = performer.workload
        self._lease = WorkerLease(performer.resources, performer.workload, hung_threads=lambda: performer.threads.hung)
        self._cancellations = Cancellations(performer.resources.ledger, performer.workload)
        self._cron = Cron(performer.lifecycle)
        self._sweep = Sweep(performer.resources)
        self._stopping = asyncio.Event()
        self._chores: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._outlive("register", self._lease.begin)
        self._lease.keep()
        every = (
            ("lease", self._lease.begin_anew_if_lost, _LEASE_EVERY_S),
            ("running rows", self._lease.hand_back_unknown, HEARTBEAT_EVERY.total_seconds()),
            ("cancellations", self._cancellations.watch, _CANCEL_EVERY_S),
            ("sweep", self._sweep_once, _SWEEP_EVERY_S),
            ("cron", self._cron.tick, _CRON_EVERY_S),
        )
        self._chores = [asyncio.create_task(self._repeat(name, do, pause_s), name=name) for name, do, pause_s in every]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._end_chores()
        await self._sweep.release()
        try:
            await self._lease.end()
        except LedgerUnavailable as error:
            log.warning("worker_not_signed_off", error=str(error.__cause__), remedy="its lease runs out by itself")

    async def _end_chores(self) -> None:
        """Let each finish its pass: cancelling a database call in the middle costs the connection, or worse."""
        self._stopping.set()
        _, late = await asyncio.wait(self._chores, timeout=_LAST_PASS_S)
        for chore in late:
            log.warning("chore_cut_off", chore=chore.get_name())
            chore.cancel()
        if late:
            await asyncio.wait(late, timeout=_LAST_PASS_S)

    async def _repeat(self, name: str, do: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while not self._stopping.is_set():
            try:
                await self._outlive(name, do)
            except Exception:
                log.exception("chore_failed", chore=name)
            await self._pause(pause_s)

    async def _outlive(self, name: str, do: Callable[[], Awaitable[None]]) -> None:
        """Do it, waiting through outages for as long as they take; says so once when one begins and ends."""
        waiting = False
        for wait_s in outage_waits():
            try:
                await do()
            except OUTAGES as error:
                if not waiting:
                    log.warning("outage", chore=name, error=_reason(error), remedy=refusal_of(error) or str(error))
                waiting = True
                await self._pause(wait_s)
            else:
                if waiting:
                    log.info("outage_over", chore=name)
                return
            if self._stopping.is_set():
                return

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _sweep_once(self) -> None:
        while await self._sweep.sweep(as_worker=self._workload.worker_id) and not self._stopping.is_set():
            pass  # a full pass: the next one follows at once


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
