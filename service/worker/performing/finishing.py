"""Attempts that have ended: their outcomes are recorded, together with whatever else has ended meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from jobs import Catalogue
from service import agreed_time, logs
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, Started
from service.ledger.outages import is_data_error
from service.worker.backoff import outage_waits
from service.worker.performing import verdict

log = structlog.get_logger(__name__)

OnFinished = Callable[[Finished | None], None]
# After an error that says nothing about the data, and is no outage that is known as one.
_TRY_AGAIN_AFTER_S = 2.0


class OutcomeNotRecordable(Exception):
    """The ledger refuses what an attempt came to, for its data."""


@dataclass(slots=True)
class Ended:
    """An attempt that is over, and who hears of what the ledger made of it: None when it had been taken away."""

    started: Started
    finish: Finish
    on_finished: OnFinished


class Finishing:
    """Records outcomes for as long as it takes, then hands them to `settle`. One write is under way at a time."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        settle: Callable[[Sequence[tuple[Ended, Finished | None]]], Awaitable[None]],
    ) -> None:
        self.unwritable = False
        self._ledger = ledger
        self._catalogue = catalogue
        self._settle = settle
        self._waiting: list[Ended] = []
        self._recording: asyncio.Task[None] | None = None

    def add(self, ended: Ended) -> None:
        """Have an outcome recorded."""
        self._waiting.append(ended)
        if self._recording is None:
            self._recording = asyncio.create_task(self._record_all(), name="finishing")

    async def _record_all(self) -> None:
        try:
            while self._waiting:
                ended, self._waiting = self._waiting, []
                recorded = await self._record(ended)
                try:
                    await self._settle(recorded)
                except asyncio.CancelledError:
                    raise
                except BaseException:  # noqa: BLE001 - other outcomes wait to be recorded
                    logs.surely(log.exception, "outcomes_not_settled", remedy="the sweep dispatches what goes on")
        finally:
            self._recording = None

    async def _record(self, ended: Sequence[Ended]) -> list[tuple[Ended, Finished | None]]:
        """Record outcomes, each on its own where they cannot be recorded together; returns those that are recorded."""
        try:
            finished = await self._record_in_the_end([one.finish for one in ended])
            return list(zip(ended, finished, strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, no job may stay `running` for ever
            if len(ended) > 1:
                return [recorded for one in ended for recorded in await self._record([one])]
            return await self._record_all_the_same(ended[0], error)

    async def _record_all_the_same(self, one: Ended, error: Exception) -> list[tuple[Ended, Finished | None]]:
        """Record that an outcome is refused for its data; what fails for another reason is tried again in a while."""
        problem = error
        if is_data_error(error):
            one.finish = self._unrecordable(one.started, error)
            try:
                return [(one, (await self._record_in_the_end([one.finish]))[0])]
            except Exception as again:  # noqa: BLE001 - see `_record`
                problem = again
        names = {"job_id": one.started.id, "kind": one.started.kind, "attempt": one.started.attempt}
        remedy = f"it is tried again in {_TRY_AGAIN_AFTER_S:g} s"
        logs.surely(log.error, "outcome_not_recorded", exc_info=problem, remedy=remedy, **names)
        asyncio.get_running_loop().call_later(_TRY_AGAIN_AFTER_S, self.add, one)
        return []

    async def _record_in_the_end(self, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        """Record outcomes, however long the database takes to come back."""
        for wait_s in outage_waits():
            try:
                finished = await self._ledger.finish_all(finishes)
            except LedgerUnavailable as error:
                if not self.unwritable:
                    names = {"outcomes": len(finishes), "error": str(error.__cause__)}
                    logs.surely(log.warning, "outcomes_not_recorded_yet", **names)
                self.unwritable = True
                await asyncio.sleep(wait_s)
            else:
                self.unwritable = False
                return finished
        raise AssertionError("outage_waits has no end")

    def _unrecordable(self, started: Started, error: Exception) -> Finish:
        """The database takes writes, but not this outcome: the attempt has failed, and says so."""
        logs.surely(log.error, "outcome_not_recordable", job_id=started.id, kind=started.kind, exc_info=error)
        reason = OutcomeNotRecordable(f"The ledger refused the attempt's outcome: {type(error).__name__}.")
        policy = self._catalogue[started.kind].retry
        return verdict.finish_of(started, verdict.of_error(reason), policy, agreed_time.now())
