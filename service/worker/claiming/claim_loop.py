"""The claim loop: keeps the worker's slots filled until it is told to stop. It outlives Redis and the database."""

import asyncio
import contextlib
import time

import structlog

from service.queue import Left, Room
from service.worker.backoff import outage_waits
from service.worker.claiming.claims import Claims
from service.worker.claiming.handover import Handover
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.shares import room_for
from service.worker.keeping.followups import Followups
from service.worker.keeping.housekeeping import OUTAGES
from service.worker.keeping.lanes import LaneKeeping
from service.worker.keeping.redispatch import Redispatch
from service.worker.performing.attempt import OnFinished, Performer

log = structlog.get_logger(__name__)

_NOT_ALLOWED_WAIT_S = 0.2
_MAY_END_WITHIN_S = 0.01
_LOOK_EVERY_S = 0.002


class ClaimLoop:
    """Claims due jobs and begins their attempts. `on_finished` hears of the end of each."""

    def __init__(self, performer: Performer, stopping: asyncio.Event, on_finished: OnFinished, *, burst: bool) -> None:
        self._performer = performer
        self._workload = performer.workload
        self._claims = Claims(performer.resources, performer.lifecycle, performer.workload)
        self._processes = ProcessRoom.of(performer.resources)
        self._handover = Handover(performer, self._claims.starts, self._claims.waiting, self._processes, on_finished)
        self._stopping = stopping
        self._on_finished = on_finished
        self._burst = burst

    async def run(self) -> None:
        """Claim until told to stop or, in burst mode, until nothing runs and nothing is due that anybody may start.

        A burst waits for rates and for refusals that pass by themselves, but not for pauses, breakers or other workers.
        """
        if not self._burst:  # a burst decides by the queue, and by what runs, whether it is done
            self._performer.finishing.finish_all = self._handover.finish_all
        try:
            await self._run()
        finally:
            await self._claims.waiting.close()

    async def _run(self) -> None:
        waits = outage_waits()
        while not self._stopping.is_set():
            try:
                if not await self._claim() and await self._is_done():
                    return
            except OUTAGES as error:
                log.warning("claiming_failed", error=str(error.__cause__ or error))
                await self._pause(next(waits))
            except Exception:
                log.exception("claiming_failed")
                await self._pause(next(waits))
            else:
                waits = outage_waits()
            _end_if_cancelled()

    async def _claim(self) -> bool:
        """Claim as many jobs as there is room for; return whether there may be more.

        A claim that takes less than its room has left nothing due here. A burst asks once more all the same.
        """
        if not self._performer.may_claim:
            await self._pause(_NOT_ALLOWED_WAIT_S)
            return True
        room = await self._room()
        if room is None:
            await self._wait_for_change()
            return True
        try:
            started = await self._claims.take(room)
            for one in started:
                self._performer.begin(one, self._on_finished)
        finally:
            self._workload.slots.release()
        return bool(started) and (self._burst or len(started) >= min(room.laneless, max(room.in_lanes, 1)))

    async def _room(self) -> Room | None:
        """Return what may be claimed.

        Waits a moment for attempts of full kinds to end: leaving their ids behind costs more.
        """
        until = time.monotonic() + _MAY_END_WITHIN_S
        while True:
            self._workload.changed.clear()
            room = await self._room_now()
            if room is None or time.monotonic() >= until or self._stopping.is_set() or not self._ends_soon(room):
                return room
            await self._pause(_LOOK_EVERY_S)

    def _ends_soon(self, room: Room) -> bool:
        """Whether attempts of a full kind have just ended, so that others may soon."""
        full = room.full_kinds
        return bool(full) and not self._workload.slots.lately.by_kind.keys().isdisjoint(full)

    async def _room_now(self) -> Room | None:
        return room_for(self._workload, await self._performer.pauses.names(), self._processes)

    async def _room_for(self, left: Left) -> None:
        """Wait until there is room for some of what the last claim left.

        Another claim before that would find no more.
        """
        while True:
            await self._workload.changed.wait()
            self._workload.changed.clear()
            room = await self._room_now()
            if room is not None and room.holds_some_of(left):
                return

    async def _is_done(self) -> bool:
        """Wait for something to claim; return whether a burst has nothing left to wait for."""
        if not self._burst:
            await self._claims.waiting.wait(self._stopping, self._room_for)
        elif wait_s := self._claims.next_try_in_s:
            await self._wait_for_change(wait_s)
        elif self._performer.busy:
            await self._wait_for_change()
        else:
            # The leader may have put jobs since the last claim.
            return not (await self._is_anything_left() or await self._waits_for_rates() or await self._claim())
        return False

    async def _is_anything_left(self) -> bool:
        """Look for due jobs that the queue did not offer; return whether there are any.

        Their parents were not followed up yet, they were never dispatched, or their lanes are closed.
        """
        ledger, queue = self._performer.lifecycle.ledger, self._performer.lifecycle.queue
        following = self._performer.lifecycle.following
        await following.settled()
        if await Followups(ledger, following).follow_up() or await LaneKeeping(ledger, queue).build():
            return True
        return bool(await Redispatch(ledger, queue).dispatch())

    async def _waits_for_rates(self) -> bool:
        """Wait for the next start, if rates hold back due jobs; return whether they do."""
        resources = self._performer.resources
        if not await resources.queue.lanes.hold_by_rates(resources.settings.queues):
            return False
        await self._claims.waiting.wait(self._stopping, self._room_for)
        return True

    async def _wait_for_change(self, within_s: float | None = None) -> None:
        """Wait until an attempt ends or its outcome is recorded, or until told to stop."""
        changed = asyncio.create_task(self._workload.next_change())
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({changed, stopped}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        stopped.cancel()

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)


def _end_if_cancelled() -> None:
    """Raise a cancellation that a library has swallowed: it tells the worker that a kind cancels all tasks."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
