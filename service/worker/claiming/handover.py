"""A job released by a finish that is recorded here begins with it, if this worker is waiting for work anyway."""

from collections.abc import Sequence

from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, HandOver, Started
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.shares import room_for
from service.worker.claiming.starts import Starts
from service.worker.claiming.waiting import Waiting
from service.worker.performing.attempt import OnFinished, Performer


class Handover:
    """Has released jobs started by the finish itself, without sending their ids through Redis and back.

    This overtakes nothing: the last claim has left nothing, and a put meanwhile wakes the claim loop. If the finish
    fails, no job was released. If its answer is lost, the attempts are handed back as any start's whose answer is lost.
    """

    def __init__(
        self,
        performer: Performer,
        starts: Starts,
        waiting: Waiting,
        processes: ProcessRoom,
        on_finished: OnFinished,
    ) -> None:
        self._performer = performer
        self._ledger: Ledger = performer.resources.ledger
        self._workload = performer.workload
        self._starts = starts
        self._waiting = waiting
        self._processes = processes
        self._on_finished = on_finished

    async def finish_all(self, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        """Record finishes as the ledger does, and begin as many of the jobs that they release as there are slots."""
        room = self._room()
        if not room:
            return await self._ledger.finish_all(finishes)
        async with self._workload.handing_over:
            first, *others = finishes
            finished = await self._ledger.finish_all([first._replace(hand_over=self._wish(room)), *others])
            if finished[0] is not None:
                self._begin(finished[0].handed_over)
        return finished

    def _room(self) -> int:
        """Return how many jobs could begin at once. The start finds everything else that keeps a job from running."""
        if not self._waiting.is_idle or not self._performer.may_claim:
            return 0
        room = room_for(self._workload, (), self._processes)
        return 0 if room is None or room.has_full_kind else int(min(room.laneless, self._workload.slots.unused))

    def _wish(self, room: int) -> HandOver:
        children = self._processes.left(self._workload)
        return HandOver(self._starts.unclaimed(), room, self._processes.kinds, children)

    def _begin(self, started: Sequence[Started]) -> None:
        """Begin attempts, but for jobs that this worker holds already: those are handed back when it no longer does.

        No slot was kept for them, so that a slow database holds up no claim. If claims have taken the slots meanwhile,
        they wait as prefetched attempts do.
        """
        new = set(self._workload.reserve(one.id for one in started))
        for one in started:
            if one.id in new:
                self._performer.begin(one, self._on_finished, has_slot=self._workload.slots.take())
