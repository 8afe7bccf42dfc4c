"""Lets jobs leave their lanes once the ends of their attempts are recorded, and tells breakers how they ended."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from service.errors import LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, Started
from service.ledger.records.lanes import Breaker, record_breakers
from service.ledger.states import TERMINAL
from service.queue import UNREACHABLE, BreakerChange, Queue, Release
from service.worker.performing.lane_verdict import verdict_of

log = structlog.get_logger(__name__)

_TELL_WITHIN_S = 5.0
# Releases that wait for Redis to come back. The leader finds the rest: lane members whose jobs do not run.
_MOST_UNTOLD = 10_000


def release_after(started: Started, finish: Finish, finished: Finished) -> Release:
    """Return the release of an attempt whose end is recorded. A job that goes on holds its strict lanes."""
    return Release(
        started.arq_id or started.id,
        started.lanes,
        verdict_of(finish),
        None if finished.state in TERMINAL else finished.run_at,
        started.claimed_ms,
    )


class LaneReleases:
    """Tells Redis about releases, many in one call; releases that it did not take are sent again with the next ones."""

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self._ledger = ledger
        self._queue = queue
        self._untold: deque[Release] = deque(maxlen=_MOST_UNTOLD)
        self._noting: set[asyncio.Task[None]] = set()

    @property
    def untold(self) -> bool:
        return bool(self._untold)

    async def tell(self, releases: Sequence[Release]) -> bool:
        """Tell Redis about releases, including earlier ones that it did not take; return whether it took them.

        Repeating a release does no harm: it is for one claim, which ends only once.
        """
        told = [*self._untold, *releases]
        if not told:
            return True
        self._untold.clear()
        try:
            async with asyncio.timeout(_TELL_WITHIN_S):
                changes = await self._queue.lanes.release(told)
        except UNREACHABLE as error:
            self._untold.extend(told)
            log.warning("lanes_not_released", jobs=len(told), error=str(error) or type(error).__name__)
            return False
        except asyncio.CancelledError:
            self._untold.extend(told)
            raise
        if changes:
            self._note_soon(changes)
        return True

    def _note_soon(self, changes: Sequence[BreakerChange]) -> None:
        """Record the states of breakers, without making any release wait for it."""
        task = asyncio.create_task(self._note(changes), name="breakers")
        self._noting.add(task)  # asyncio keeps no reference of its own
        task.add_done_callback(self._noting.discard)

    async def _note(self, changes: Sequence[BreakerChange]) -> None:
        for one in changes:
            until = None if one.until is None else one.until.isoformat()
            log.warning("breaker_changed", lane=one.lane, state=one.state, until=until, reason=one.reason)
        latest = {one.lane: Breaker(one.lane, one.state, one.until, one.step, one.reason) for one in changes}
        try:
            await self._ledger.database.run(
                lambda connection: record_breakers(connection, list(latest.values()), now_by(connection))
            )
        except LedgerUnavailable as error:
            log.warning("breakers_not_recorded", lanes=list(latest), error=str(error.__cause__ or error))
