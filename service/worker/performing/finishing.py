"""Records how attempts ended, together with all others that ended meanwhile, for as long as it takes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from jobs import Catalogue
from service import agreed_time, logs
from service.errors import LedgerUnavailable
from service.gathering import gather
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, Started
from service.ledger.outages import is_data_error
from service.worker.backoff import outage_waits
from service.worker.performing import outcome
from service.worker.performing.finish import finish_of

log = structlog.get_logger(__name__)

# The wait after an error that is neither about the data nor a known outage.
_TRY_AGAIN_AFTER_S = 2.0
# Under a stream of short attempts, hundreds end within milliseconds, but at first only the ones with slots, whose own
# transaction would cost as much as one for all. The next attempt in a slot ends three turns of the loop later.
_MOST_TOGETHER = 1_000
_QUIET_TURNS = 3
_GATHER_WITHIN_S = 0.01


# `Ledger.finish_all`, or what does the same and more.
FinishAll = Callable[[Sequence[Finish]], Awaitable[Sequence[Finished | None]]]


class OutcomeNotRecordable(Exception):
    """The ledger refuses an attempt's outcome because of its data."""


@dataclass(slots=True, eq=False)
class _Ended:
    started: Started
    finish: Finish
    recorded: asyncio.Future[tuple[Finish, Finished | None]]

    def tell(self, finished: Finished | None) -> None:
        if not self.recorded.done():
            self.recorded.set_result((self.finish, finished))


class Finishing:
    """Records finishes in groups by `finish_all`. One write is under way at a time."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self.unwritable = False
        self.finish_all: FinishAll = ledger.finish_all
        self._ledger = ledger
        self._catalogue = catalogue
        self._waiting: list[_Ended] = []
        self._recording: asyncio.Task[None] | None = None

    async def record(self, started: Started, finish: Finish) -> tuple[Finish, Finished | None]:
        """Record a finish, however long the database is away.

        Return the finish as it was recorded (a failure, if the ledger refused the outcome because of its data), and the
        result: None if the attempt had been taken away.
        """
        ended = _Ended(started, finish, asyncio.get_running_loop().create_future())
        self._add(ended)
        return await ended.recorded

    def _add(self, ended: _Ended) -> None:
        self._waiting.append(ended)
        if self._recording is None or self._recording.done():  # a task that was cancelled before it began
            self._recording = asyncio.create_task(self._record_all(), name="finishing")

    async def _record_all(self) -> None:
        try:
            while self._waiting:
                await gather(
                    lambda: len(self._waiting),
                    enough=_MOST_TOGETHER,
                    quiet_turns=_QUIET_TURNS,
                    within_s=_GATHER_WITHIN_S,
                )
                group, self._waiting = self._waiting, []
                await self._record(group)
        finally:
            self._recording = None

    async def _record(self, group: Sequence[_Ended]) -> None:
        """Record finishes together or, if that fails, each on its own and nothing else with it."""
        try:
            finished = await self._record_in_the_end(group, self.finish_all)
        except Exception:  # noqa: BLE001 - whatever happens, no job may stay `running` for ever
            for one in group:
                await self._record_alone(one)
        else:
            for one, of_one in zip(group, finished, strict=True):
                one.tell(of_one)

    async def _record_alone(self, one: _Ended) -> None:
        try:
            one.tell((await self._record_in_the_end([one], self._ledger.finish_all))[0])
        except Exception as error:  # noqa: BLE001 - see `_record`
            await self._record_all_the_same(one, error)

    async def _record_all_the_same(self, one: _Ended, error: Exception) -> None:
        """Record a failure in place of an outcome that was refused for its data; retry after any other error."""
        problem = error
        if is_data_error(error):
            one.finish = self._unrecordable(one.started, error)
            try:
                one.tell((await self._record_in_the_end([one], self._ledger.finish_all))[0])
            except Exception as again:  # noqa: BLE001 - see `_record`
                problem = again
            else:
                return
        names = {"job_id": one.started.id, "kind": one.started.kind, "attempt": one.started.attempt}
        remedy = f"it is tried again in {_TRY_AGAIN_AFTER_S:g} s"
        logs.surely(log.error, "outcome_not_recorded", exc_info=problem, remedy=remedy, **names)
        asyncio.get_running_loop().call_later(_TRY_AGAIN_AFTER_S, self._add, one)

    async def _record_in_the_end(self, group: Sequence[_Ended], finish_all: FinishAll) -> Sequence[Finished | None]:
        """Record finishes as soon as the database is back."""
        for wait_s in outage_waits():
            try:
                finished = await finish_all([one.finish for one in group])
            except LedgerUnavailable as error:
                if not self.unwritable:
                    names = {"outcomes": len(group), "error": str(error.__cause__)}
                    logs.surely(log.warning, "outcomes_not_recorded_yet", **names)
                self.unwritable = True
                await asyncio.sleep(wait_s)
            else:
                self.unwritable = False
                return finished
        raise AssertionError("outage_waits has no end")

    def _unrecordable(self, started: Started, error: Exception) -> Finish:
        """Return the failure of an attempt whose outcome the database refuses although it takes writes."""
        logs.surely(log.error, "outcome_not_recordable", job_id=started.id, kind=started.kind, exc_info=error)
        reason = OutcomeNotRecordable(f"The ledger refused the attempt's outcome: {type(error).__name__}.")
        policy = self._catalogue[started.kind].retry
        return finish_of(started, outcome.of_error(reason), policy, agreed_time.now())
