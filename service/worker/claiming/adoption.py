"""Adopts the jobs of plain arq clients among claimed ids, and tells the clients which jobs cannot run or have ended."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import structlog
from sqlalchemy import RowMapping

from service import agreed_time
from service.ledger.reads import jobs as queries
from service.ledger.states import TERMINAL, State
from service.lifecycle.lifecycle import Lifecycle
from service.queue import ArqJob, Entry, NotAnArqJob, Result, read_arq_job
from service.worker.claiming.unknown_kinds import UnknownKinds
from service.worker.performing.arq_result import result_of_arq_job

log = structlog.get_logger(__name__)

# How many payloads are read at a time: each may have 1 MiB.
_PAGE = 50


class ToStart(NamedTuple):
    """The arq ids of adopted jobs to start and, where they have just been adopted, their entries, by the jobs' ids."""

    members: dict[str, str]
    entries: dict[str, Entry]


class Adoption:
    """Turns ids of plain arq clients into jobs of the ledger, a page at a time."""

    def __init__(self, lifecycle: Lifecycle, unknown_kinds: UnknownKinds) -> None:
        self._lifecycle = lifecycle
        self._ledger = lifecycle.ledger
        self._queue = lifecycle.queue
        self._unknown_kinds = unknown_kinds

    async def adopt(self, queues: Mapping[str, str], due_by: datetime, *, into_lanes: bool) -> ToStart:
        """Adopt the arq jobs with these claimed ids, given with their queues.

        Return the jobs to start. With `into_lanes`, jobs whose kinds put them in lanes wait there.
        """
        members = iter(queues.items())
        to_start = ToStart({}, {})
        while page := dict(islice(members, _PAGE)):
            more = await self._adopt_page(page, due_by, into_lanes=into_lanes)
            to_start.members.update(more.members)
            to_start.entries.update(more.entries)
        return to_start

    async def _adopt_page(self, queues: Mapping[str, str], due_by: datetime, *, into_lanes: bool) -> ToStart:
        arq_jobs = await self._read(queues)
        known = await self._known(arq_jobs)
        results = await self._results_of_ended(arq_jobs, known)
        new = [one for one in arq_jobs if one.id not in known]
        catalogue = self._lifecycle.catalogue
        await self._set_aside([one for one in new if one.function not in catalogue], due_by)
        adopted = await self._lifecycle.adopt([one for one in new if one.function in catalogue], due_by)
        now = agreed_time.now()
        for one in adopted:
            if one.refusal is not None:
                results.append(result_of_arq_job(one.arq_job, now, success=False, value=one.refusal, tries=1))
        if results:
            await self._queue.arq.settle(results)
        to_start = [one for one in adopted if one.refusal is None and not (into_lanes and one.entry.lanes)]
        in_lanes = [one.entry for one in adopted if one.refusal is None and into_lanes and one.entry.lanes]
        if in_lanes:
            await self._queue.put(in_lanes)
        goes_on = {job_id: arq_id for arq_id, (job_id, state) in known.items() if state not in TERMINAL}
        members = goes_on | {one.job_id: one.arq_job.id for one in to_start}
        return ToStart(members, {one.job_id: one.entry for one in to_start})

    async def _read(self, queues: Mapping[str, str]) -> list[ArqJob]:
        """Read the arq jobs with these ids; an id without one is removed."""
        arq_jobs: list[ArqJob] = []
        useless: dict[str, list[bytes]] = {}
        for member, payload in (await self._queue.arq.payloads(list(queues))).items():
            try:
                arq_jobs.append(read_arq_job(member, queues[member], payload))
            except NotAnArqJob as reason:
                log.error("queue_member_removed", found=member, reason=str(reason))
                useless.setdefault(queues[member], []).append(member.encode())
        await asyncio.gather(*(self._queue.remove(queue, some) for queue, some in useless.items()))
        return arq_jobs

    async def _known(self, arq_jobs: Sequence[ArqJob]) -> Mapping[str, tuple[str, State]]:
        """Return the id and state of each job that was adopted before, by its arq id."""
        if not arq_jobs:
            return {}
        async with self._ledger.read() as connection:
            return await queries.adopted_as(connection, {one.id: one.enqueued_at for one in arq_jobs})

    async def _results_of_ended(
        self, arq_jobs: Sequence[ArqJob], known: Mapping[str, tuple[str, State]]
    ) -> list[Result]:
        """Return the results of adopted jobs that have ended without their clients being told."""
        standing = [(one, *known[one.id]) for one in arq_jobs if one.id in known]
        ended = {job_id: one for one, job_id, state in standing if state in TERMINAL}
        if not ended:
            return []
        async with self._ledger.read() as connection:
            rows = await queries.get_jobs(connection, list(ended))
        now = agreed_time.now()
        return [_result_of(ended[row["id"]], row, now) for row in rows]

    async def _set_aside(self, arq_jobs: Sequence[ArqJob], due_by: datetime) -> None:
        entries = [Entry(one.id, one.function, one.queue, min(one.enqueued_at, due_by)) for one in arq_jobs]
        if entries:
            await self._unknown_kinds.set_aside(entries, due_by)


def _result_of(arq_job: ArqJob, row: RowMapping, now: datetime) -> Result:
    success = row["state"] == State.SUCCEEDED
    value = json.loads(row["result"] or "null") if success else row["error_message"]
    return result_of_arq_job(arq_job, now, success=success, value=value, tries=row["attempt"])
