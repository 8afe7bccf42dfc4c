"""Knows why jobs wait: reads the facts behind the reasons, together for all callers."""

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy import RowMapping

from service import agreed_time
from service.lanes.outlook import Outlook
from service.lanes.reasons import (
    A_FREE_SLOT,
    LaneNow,
    Reason,
    due_later,
    lanes_of,
    nothing_runs,
    other_jobs,
    reasons,
)
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob
from service.ledger.reads.flows import Parent, open_parents
from service.ledger.reads.lanes import first_in_lanes
from service.ledger.states import WAITING, State
from service.queue import UNREACHABLE, Queue
from service.shared_reads import SharedReads

# A lane's state may change with every claim.
_LANES_FRESH_FOR_S = 0.2
_REDIS_WITHIN_S = 1.0


class WaitingFor:
    """Knows why jobs wait. Callers at the same moment share the reads; a job without lanes takes a single read."""

    def __init__(self, ledger: Ledger, queue: Queue, outlook: Outlook) -> None:
        self._ledger = ledger
        self._queue = queue
        self._outlook = outlook
        self._lanes = SharedReads(lambda names: in_time(self._read_lanes(names)), fresh_for_s=_LANES_FRESH_FOR_S)
        self._parents = SharedReads(lambda ids: in_time(self._read_parents(ids)), fresh_for_s=0)

    async def of(self, jobs: Sequence[RowMapping]) -> list[str | None]:
        """Return a sentence for each waiting job, None for the others. Raises `LedgerUnavailable`."""
        return [found[0].sentence if found else None for found in await self.reasons_of(jobs)]

    async def reasons_of(self, jobs: Sequence[RowMapping]) -> list[Sequence[Reason]]:
        """Return everything that holds each job back, decisive reason first; nothing for jobs that do not wait."""
        waiting = [job for job in jobs if job["state"] in WAITING]
        blocked = [job for job in jobs if job["state"] == State.BLOCKED]
        found = await self._of_blocked(blocked) if blocked else {}
        found |= await self._of_waiting(waiting) if waiting else {}
        return [found.get(job["id"], ()) for job in jobs]

    async def _of_blocked(self, blocked: Sequence[RowMapping]) -> dict[str, Sequence[Reason]]:
        parents = await self._parents.of(job["id"] for job in blocked)
        return {job["id"]: [other_jobs(job["blocked_by"], parents[job["id"]])] for job in blocked}

    async def _of_waiting(self, waiting: Sequence[RowMapping]) -> dict[str, Sequence[Reason]]:
        overview = await self._outlook.overview()
        lanes = await self.lanes_now({key for job in waiting for key in lanes_of(job)})
        now = agreed_time.now()
        return {job["id"]: list(reasons(job, overview, lanes, now)) or [A_FREE_SLOT] for job in waiting}

    async def lanes_now(self, keys: set[str]) -> Mapping[str, LaneNow]:
        """Return how lanes stand."""
        return await self._lanes.of(keys) if keys else {}

    def of_new(self, job: NewJob) -> str | None:
        """Return the sentence for a job that was just accepted; None if nothing is known to hold it back.

        That takes no read, so it is not known here whether a slot is free.
        """
        if job.state is State.SCHEDULED:
            return due_later(job.run_at).sentence
        overview = self._outlook.glance()
        if overview is None or job.state is not State.QUEUED:
            return None
        if not overview.runs(job.kind, job.queue):
            nothing = next(nothing_runs(job.kind, job.label, job.queue, overview, job.run_at), None)
            return nothing.sentence if nothing is not None else None
        return None

    def forget(self) -> None:
        """Ask again for the next caller, because lanes have changed."""
        self._lanes.forget()

    async def _read_parents(self, ids: Sequence[str]) -> Mapping[str, Parent | None]:
        async with self._ledger.read() as connection:
            found = await open_parents(connection, ids)
        return {job_id: found.get(job_id) for job_id in ids}

    async def _read_lanes(self, keys: Sequence[str]) -> Mapping[str, LaneNow]:
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                states = await self._queue.lanes.states(keys)
                is_built = await self._queue.lanes.built_epoch() is not None
        except UNREACHABLE:
            return dict.fromkeys(keys, LaneNow())
        strict = [key for key in keys if states[key].strict]
        firsts: Mapping[str, str] = {}
        if strict:
            async with self._ledger.read() as connection:
                firsts = await first_in_lanes(connection, strict)
        return {key: LaneNow(states[key], is_built, firsts.get(key)) for key in keys}
