"""The steps of an attempt as a worker keeps them: written in groups, guarded by the attempt's number."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from jobs.kit.steps import Given, KeptStep, Steps
from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.records.kept import Checkpoint, Step
from service.worker.backoff import outage_waits

log = structlog.get_logger(__name__)


class RecordedSteps(Steps):
    """The steps of a started attempt."""

    __slots__ = ("_ledger", "_started")

    def __init__(self, ledger: Ledger, started: Started, given: Given) -> None:
        super().__init__(given)
        self._ledger = ledger
        self._started = started

    async def keep(self, step: KeptStep) -> None:
        kept = Step(self._started.id, self._started.attempt, *step)
        await self._write(lambda: self._ledger.keep_step(kept))

    async def keep_checkpoint(self, value: str) -> None:
        kept = Checkpoint(self._started.id, self._started.attempt, value, agreed_time.now())
        await self._write(lambda: self._ledger.keep_checkpoint(kept))

    async def _write(self, write: Callable[[], Awaitable[bool]]) -> None:
        """Write, however long the database is away. An attempt that was taken away ends here, because others perform
        the job.

        Finished work is kept even if the attempt is cancelled meanwhile: a repeated write changes nothing.
        """
        try:
            is_held = await self._write_surely(write)
        except asyncio.CancelledError:
            with contextlib.suppress(LedgerUnavailable):
                await write()
            raise
        if not is_held:
            raise asyncio.CancelledError("the attempt was taken away")

    async def _write_surely(self, write: Callable[[], Awaitable[bool]]) -> bool:
        for wait_s in outage_waits():
            try:
                return await write()
            except LedgerUnavailable as error:
                log.warning("step_not_kept_yet", job_id=self._started.id, error=str(error.__cause__))
            await asyncio.sleep(wait_s)
        raise AssertionError("the waits are without end")

    def _now(self) -> datetime:
        return agreed_time.now()
