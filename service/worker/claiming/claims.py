"""From ids on the queue to attempts that may be performed."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from service import metrics
from service.ledger.models import Started
from service.lifecycle.lifecycle import Lifecycle
from service.queue import LONGEST_ID, Claimed, Room, Runs, Taken
from service.resources import Resources
from service.worker.claiming.not_started import NEXT_TRY, NotStarted
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.starts import START_WITHIN_S, Claim, Starts
from service.worker.claiming.waiting import Waiting
from service.worker.performing.contexts import timeout_of
from service.worker.suspects import Suspects
from service.worker.workload import Workload

log = structlog.get_logger(__name__)

# How long, beyond its timeout, arq's clients see an adopted job as in progress.
_HOLD_MARGIN_S = 60.0


@dataclass
class _Started:
    """What a claim has started. `at_once` must not wait for a slot.

    With `wait`, further jobs wait for the next claim.
    """

    others: dict[str, Started]
    at_once: dict[str, Started] = field(default_factory=dict)
    wait: bool = False

    def in_order(self) -> list[Started]:
        """Return the attempts in the order in which they ask for slots: the held slots are for the first ones."""
        return [*self.at_once.values(), *self.others.values()]


class Claims:
    """Claims due ids, and starts the jobs that the ledger lets it start."""

    def __init__(self, resources: Resources, lifecycle: Lifecycle, workload: Workload) -> None:
        self.waiting = Waiting(resources.queue, resources.settings.queues)
        self._resources = resources
        self._workload = workload
        suspects = Suspects(resources.settings.max_crashes)
        processes = ProcessRoom.of(resources)
        self.starts = Starts(resources, workload, suspects, processes)
        self._not_started = NotStarted(resources, lifecycle, workload, suspects, processes)
        self._kinds = tuple(resources.catalogue)
        self._first = 0
        self._next_try_at = 0.0

    @property
    def next_try_in_s(self) -> float:
        """Return the seconds until refused ids come due again; 0 if none do."""
        return max(self._next_try_at - time.monotonic(), 0.0)

    async def take(self, room: Room) -> list[Started]:
        """Claim the due ids for which there is room, and start their jobs. An empty list means that nothing is due.

        Claimed ids that cannot be started leave the due range, so that the ids behind them come next.
        Raises `UNREACHABLE` and `LedgerUnavailable`.
        """
        while True:
            until = time.monotonic() + START_WITHIN_S
            taken = await self._resources.queue.claim(self._queues(), room, self._kinds)
            self.waiting.note(taken)
            metrics.claims.value += 1
            metrics.claimed_jobs.value += len(taken.claimed)
            if not taken.claimed:
                return []
            started = await self._start(taken, until)
            if (attempts := started.in_order()) or started.wait:
                return attempts

    async def start(self, taken: Taken, until: float = math.inf) -> list[Started]:
        """Start the jobs of claimed ids. Ids that cannot start are taken off the queue or left to others.

        Nothing in a lane is started after `until`.
        """
        return (await self._start(taken, until)).in_order()

    async def _start(self, taken: Taken, until: float) -> "_Started":
        by_id = {job_id: one for one in taken.claimed if (job_id := self._job_id(one)) is not None}
        # Attempts that may have to wait for a slot are marked as prefetched.
        prefetched = len(by_id) > self._workload.slots.unused
        claim = Claim(taken, until)
        started = _Started(await self.starts.record(by_id, claim, prefetched=prefetched))
        try:
            await self._tidy(by_id, started, claim, prefetched=prefetched)
        except Exception as error:  # noqa: BLE001 - started attempts must be performed, whatever happens to the rest
            log.warning(
                "queue_not_tidied", error=repr(error.__cause__ or error), remedy="it is tried at the next claim"
            )
        return started

    async def _tidy(self, by_id: Mapping[str, Claimed], started: "_Started", claim: Claim, *, prefetched: bool) -> None:
        """Take started ids off the queue, and settle the others; add jobs that start on the way to `started`."""
        others = started.others
        self._take_off([by_id[job_id] for job_id in others if others[job_id].arq_id is None])
        holds = self._workload.holds
        if refused := {job_id: one for job_id, one in by_id.items() if job_id not in others and not holds(job_id)}:
            startable = await self._not_started.settle(refused, claim.taken)
            started.wait = startable.wait
            if startable.come_again:
                self._next_try_at = time.monotonic() + NEXT_TRY.total_seconds()
            others |= await self.starts.record(startable.jobs, claim, prefetched=prefetched)
            started.at_once = await self.starts.record(startable.at_once, claim, at_once=True)
            own = [job_id for job_id, one in started.at_once.items() if one.arq_id is None]
            self._take_off([startable.at_once[job_id] for job_id in own])
            if again := [entry for job_id, entry in startable.entries.items() if not holds(job_id)]:
                self._next_try_at = time.monotonic() + NEXT_TRY.total_seconds()
                await self._not_started.put_back(again, claim.taken)
        if adopted := [one for one in started.in_order() if one.arq_id is not None]:
            await self._hold(adopted)

    def _queues(self) -> list[str]:
        """Return the queues, each time starting with the next one, so that no queue starves the others."""
        queues = self._resources.settings.queues
        self._first = (self._first + 1) % len(queues)
        return [*queues[self._first :], *queues[: self._first]]

    def _job_id(self, claimed: Claimed) -> str | None:
        """Read a member as a job's id; remove a member that cannot be one."""
        try:
            job_id = claimed.member.decode()
        except UnicodeDecodeError:
            job_id = ""
        if 0 < len(job_id) <= LONGEST_ID and "\0" not in job_id:
            return job_id
        log.error("queue_member_removed", found=repr(claimed.member[:LONGEST_ID]), reason="it cannot be a job's id")
        self._resources.queue.remove_soon(claimed.queue, [claimed.member])
        return None

    def _take_off(self, started: Sequence[Claimed]) -> None:
        if started:
            self._resources.queue.take_off_soon(started)

    async def _hold(self, adopted: Sequence[Started]) -> None:
        catalogue = self._resources.catalogue
        if in_lanes := [Runs(one.arq_id or one.id, one.lanes, one.queue) for one in adopted if one.in_lane]:
            await self._resources.queue.lanes.started(in_lanes)
        await self._resources.queue.arq.hold(
            {
                one.arq_id: timeout_of(one, catalogue[one.kind]) + _HOLD_MARGIN_S
                for one in adopted
                if one.arq_id is not None
            }
        )
