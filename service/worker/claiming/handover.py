"""A job released by a finish that was recorded here begins here, if this worker is waiting for work anyway."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import structlog

from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.models import Released, Started
from service.queue import Claimed, Taken
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.shares import room_for
from service.worker.claiming.starts import Claim, Starts
from service.worker.claiming.waiting import Waiting
from service.worker.performing.attempt import OnFinished, Performer

log = structlog.get_logger(__name__)


class Handover:
    """Starts released jobs without sending their ids through Redis and back.

    This overtakes nothing: the last claim has left nothing, and a put meanwhile wakes the claim loop, which goes on
    waiting. If the worker dies before the start is recorded, the sweep finds the job like any other that was not put.
    If its id gets on the queue as well, the second start is refused.
    """

    def __init__(
        self,
        performer: Performer,
        starts: Starts,
        waiting: Waiting,
        processes: ProcessRoom,
        on_finished: OnFinished,
    ) -> None:
        self._processes = processes
        self._performer = performer
        self._workload = performer.workload
        self._starts = starts
        self._waiting = waiting
        self._on_finished = on_finished
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, released: Sequence[Released]) -> Sequence[Released]:
        """Begin the jobs that are in no lane, if there are slots for all of them; return the jobs to put on the queue.

        A larger fan-out goes on the queue, where one claim takes many and other workers get their part.
        """
        laneless = [one for one in released if not one.lanes]
        if not 0 < len(laneless) <= self._room():
            return released
        slots = self._workload.slots
        taken = [one for one in laneless if slots.take()]
        task = asyncio.create_task(self._begin(taken), name="handover")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return [one for one in released if one.lanes]

    def _room(self) -> int:
        """Return how many jobs could begin at once. The start finds everything else that keeps a job from running."""
        if not self._waiting.is_idle or not self._performer.may_claim:
            return 0
        room = room_for(self._workload, (), self._processes)
        return 0 if room is None or room.has_full_kind else int(min(room.laneless, self._workload.slots.unused))

    async def _begin(self, taken: Sequence[Released]) -> None:
        started: Mapping[str, Started] = {}
        try:
            claimed = {one.id: Claimed(one.id.encode(), one.queue) for one in taken}
            claim = Claim(Taken([], agreed_time.now()), math.inf)
            started = await self._starts.record(claimed, claim, handed_over=True)
        except LedgerUnavailable as error:
            log.warning("handover_failed", jobs=len(taken), error=str(error.__cause__), remedy="they go on the queue")
        finally:
            for one in taken:
                if one.id in started:
                    self._performer.begin(started[one.id], self._on_finished, has_slot=True)
                else:
                    self._workload.slots.give_back()
        await self._performer.lifecycle.dispatcher.put_released([one for one in taken if one.id not in started])

    async def close(self) -> None:
        """Wait until all taken jobs have begun or are on the queue."""
        if self._tasks:
            await asyncio.wait(self._tasks)
