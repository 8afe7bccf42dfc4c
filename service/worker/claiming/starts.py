"""Records the starts of claimed jobs. Jobs in lanes are recorded separately, guarded by the epoch of the lanes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from service import agreed_time
from service.ledger.models import Start, Started
from service.queue import Claimed, Taken
from service.resources import Resources
from service.worker.claiming.process_room import ProcessRoom
from service.worker.suspects import Suspects
from service.worker.workload import Workload

# A claim in a lane without a start is taken for lost some time later (`keeping/lanes.py`). The start must be recorded
# before then, or never.
START_WITHIN_S = 5.0


class Claim(NamedTuple):
    """What a claim took. Jobs in lanes may be started `until` then, by the monotonic clock."""

    taken: Taken
    until: float


class Starts:
    """Starts the jobs that the ledger lets this worker start, and holds their ids."""

    def __init__(self, resources: Resources, workload: Workload, suspects: Suspects, processes: ProcessRoom) -> None:
        self._ledger = resources.ledger
        self._processes = processes
        self._kinds = tuple(resources.catalogue)
        self._unbounded = tuple(kind for kind in resources.catalogue if kind not in processes.kinds)
        self._workload = workload
        self._suspects = suspects
        self._past_lanes = resources.settings.stock_worker
        self._queues = tuple(resources.settings.queues)

    async def record(
        self,
        claimed: Mapping[str, Claimed],
        claim: Claim,
        *,
        prefetched: bool = False,
        at_once: bool = False,
    ) -> dict[str, Started]:
        """Record the starts of the jobs that may start, given by their ids, and hold these ids.

        Jobs that have crashed start only with `at_once`. So do jobs that need a child process, unless there is a free
        child for every id, whatever its kind.
        """
        new = self._workload.reserve(claimed)
        started: dict[str, Started] = {}
        try:
            if new:
                crashes_below = None if at_once else self._suspects.crashes_below(prefetched=prefetched)
                now, due_by = agreed_time.now(), claim.taken.due_by
                fits = at_once or (not prefetched and len(new) <= self._processes.left(self._workload))
                start = Start(
                    (),
                    self._workload.worker_id,
                    self._kinds if fits else self._unbounded,
                    now,
                    due_by,
                    crashes_below,
                    prefetched,
                    past_lanes=self._past_lanes,
                    queues=self._queues,
                )
                started = await self._start(start, new, claimed, claim)
        finally:
            self._workload.release(set(new) - started.keys())
        return started

    def unclaimed(self) -> Start:
        """Return how jobs begin that nobody has claimed; their ids are not known yet."""
        return Start(
            (),
            self._workload.worker_id,
            self._kinds,
            agreed_time.now(),
            crashes_below=self._suspects.crashes_below(prefetched=False),
            past_lanes=self._past_lanes,
            queues=self._queues,
            handed_over=True,
        )

    async def _start(
        self, start: Start, ids: Sequence[str], claimed: Mapping[str, Claimed], claim: Claim
    ) -> dict[str, Started]:
        in_lanes = [job_id for job_id in ids if claimed[job_id].in_lane]
        if not in_lanes:
            return await self._ledger.start(replace(start, ids=tuple(ids)))
        starts = [_in_lanes(start, in_lanes, claimed, claim)]
        if laneless := tuple(job_id for job_id in ids if not claimed[job_id].in_lane):
            starts.append(replace(start, ids=laneless))
        # Simultaneous writes share a transaction. If they end up in two, one may fail alone.
        results = await asyncio.gather(*map(self._ledger.start, starts), return_exceptions=True)
        failed = next((one for one in results if isinstance(one, BaseException)), None)
        started = {job_id: one for some in results if isinstance(some, dict) for job_id, one in some.items()}
        if failed is not None and not started:
            raise failed
        claim_ms = claim.taken.claim_ms
        return {job_id: one.claimed_at(claim_ms) if one.in_lane else one for job_id, one in started.items()}


def _in_lanes(start: Start, ids: Sequence[str], claimed: Mapping[str, Claimed], claim: Claim) -> Start:
    strict = tuple((job_id, lane) for job_id in ids for lane in claimed[job_id].strict)
    lanes = tuple((job_id, claimed[job_id].lanes) for job_id in ids)
    epoch = claim.taken.lanes_epoch
    return replace(start, ids=tuple(ids), lanes_epoch=epoch, strict=strict, until=claim.until, lanes=lanes)
