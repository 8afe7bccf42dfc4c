"""Keeps house: does the chores of `chores.py` again and again, through any outage."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from service.alerts.alerting import LOOK_EVERY_S, open_alerting
from service.chore import Chore
from service.errors import LedgerUnavailable
from service.feature import ChoreTools
from service.queue import UNREACHABLE, refusal_of
from service.worker.backoff import outage_waits
from service.worker.keeping.chores import chores_of, sweep_of
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.performing.attempt import Performer

log = structlog.get_logger(__name__)

OUTAGES = (*UNREACHABLE, LedgerUnavailable)
_LAST_PASS_S = 2.0


class Housekeeping:
    """`async with Housekeeping(...)`: registers the worker, keeps house, and finally signs the worker off."""

    def __init__(self, performer: Performer) -> None:
        resources, workload = performer.resources, performer.workload
        self._lease = WorkerLease(resources, performer.lifecycle, workload, hung_threads=lambda: performer.threads.hung)
        self._resources, self._lifecycle = resources, performer.lifecycle
        self._durations = performer.durations
        self._lane_starts = performer.lane_starts
        self._sweep = sweep_of(resources, performer.lifecycle, lambda: workload.worker_id)
        self._chores = chores_of(performer, self._lease, self._sweep)
        self._stopping = asyncio.Event()
        self._doing: list[asyncio.Task[None]] = []
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for feature in self._resources.features:
                if feature.chores is not None:
                    self._chores += await stack.enter_async_context(feature.chores(self._tools()))
            # Not part of the sweep, because reporting takes as long as a mail server does; but only the leader does it.
            if alerting := await stack.enter_async_context(open_alerting(self._resources, self._lifecycle)):
                look = partial(alerting.look_if, lambda: self._sweep.leadership.leads)
                self._chores.append(Chore("alerts", LOOK_EVERY_S, look))
            await self._outlive("register", self._lease.begin)
            self._opened = stack.pop_all()
        self._lease.keep()
        self._doing = [asyncio.create_task(self._repeat(chore), name=chore.name) for chore in self._chores]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            await self._end_chores()
            await self._opened.aclose()
            await self._sweep.release()
        finally:
            await self._sign_off()

    async def _sign_off(self) -> None:
        """End the lease before anything else can fail: until then, others take this worker for alive."""
        try:
            await self._lease.end()
        except LedgerUnavailable as error:
            log.warning("worker_not_signed_off", error=str(error.__cause__), remedy="its lease runs out by itself")
            return
        try:
            await self._durations.tell()
            await self._lane_starts.tell()
        except LedgerUnavailable as error:
            log.warning("figures_not_told", error=str(error.__cause__), reason="the last seconds' figures are lost")

    def _tools(self) -> ChoreTools:
        return ChoreTools(
            settings=self._resources.settings,
            ledger=self._resources.ledger,
            catalogue=self._resources.catalogue,
            check_queue=self._resources.check_queue,
            enqueue=self._lifecycle.enqueue,
            leads=lambda: self._sweep.leadership.leads,
        )

    async def _end_chores(self) -> None:
        """Let each chore finish its pass: cancelling a database call half-way costs the connection, or worse."""
        self._stopping.set()
        _, late = await asyncio.wait(self._doing, timeout=_LAST_PASS_S)
        for chore in late:
            log.warning("chore_cut_off", chore=chore.get_name())
            chore.cancel()
        if late:
            await asyncio.wait(late, timeout=_LAST_PASS_S)

    async def _repeat(self, chore: Chore) -> None:
        if chore.waits:
            await self._pause(chore.every_s)
        while not self._stopping.is_set():
            more: bool | None = False
            try:
                more = await self._outlive(chore.name, chore.do)
            except Exception:
                log.exception("chore_failed", chore=chore.name)
            if not more:
                await self._pause(chore.every_s)

    async def _outlive(self, name: str, do: Callable[[], Awaitable[bool | None]]) -> bool | None:
        """Do it, waiting through outages for as long as they take; log once when one begins and when it ends."""
        waiting = False
        for wait_s in outage_waits():
            try:
                more = await do()
            except OUTAGES as error:
                if not waiting:
                    log.warning("outage", chore=name, error=_reason(error), remedy=refusal_of(error) or str(error))
                waiting = True
                await self._pause(wait_s)
            else:
                if waiting:
                    log.info("outage_over", chore=name)
                return more
            if self._stopping.is_set():
                break
        return False

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
