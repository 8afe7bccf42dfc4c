"""Jobs of plain arq clients: recorded in the ledger when they are claimed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import structlog
import uuid_utils
from sqlalchemy import RowMapping

from jobs import Kind
from service import agreed_time
from service.errors import ArgsInvalid
from service.ledger.models import Enqueue, NewJob
from service.ledger.reads import jobs as queries
from service.ledger.states import TERMINAL, State
from service.lifecycle.lifecycle import MAX_ARGS_BYTES, Options, accepted_args, new_job
from service.queue import Entry, Result
from service.resources import Resources
from service.worker.claiming.arq_job import ArqJob, NoCall, read_call
from service.worker.claiming.unknown_kinds import UnknownKinds
from service.worker.performing.arq_result import result_of_call

log = structlog.get_logger(__name__)

_LONGEST_TAG = 255
# A payload has up to 1 MiB: so many are read at a time.
_PAGE = 50


class Adoption:
    """Turns ids of plain arq clients into jobs of the ledger, a page of them at a time."""

    def __init__(self, resources: Resources, unknown_kinds: UnknownKinds) -> None:
        self._resources = resources
        self._queue = resources.queue
        self._unknown_kinds = unknown_kinds

    async def adopt(self, queues: Mapping[str, str], due_by: datetime) -> list[str]:
        """Record the calls behind claimed ids, given with their queues; return the ids of the jobs to start."""
        members = iter(queues.items())
        startable: list[str] = []
        while page := dict(islice(members, _PAGE)):
            startable += await self._adopt_page(page, due_by)
        return startable

    async def _adopt_page(self, queues: Mapping[str, str], due_by: datetime) -> list[str]:
        calls = await self._read_calls(queues)
        known = await self._known(calls)
        results = await self._ended_before(calls, queues, known)
        new = [call for call in calls if call.arq_id not in known]
        catalogue = self._resources.catalogue
        await self._set_aside([call for call in new if call.function not in catalogue], queues, due_by)
        recorded = await self._record([call for call in new if call.function in catalogue], queues, due_by)
        for call, job in recorded:
            if job.state is State.FAILED:
                refusal = job.error_message
                results.append(
                    result_of_call(call, job.queue, agreed_time.now(), success=False, value=refusal, tries=1)
                )
        if results:
            await self._queue.arq.settle(results)
        goes_on = [job_id for job_id, state in known.values() if state not in TERMINAL]
        return [*goes_on, *(job.id for _, job in recorded if job.state is not State.FAILED)]

    async def _read_calls(self, queues: Mapping[str, str]) -> list[ArqJob]:
        """Read the calls behind ids; an id without one is removed."""
        calls: list[ArqJob] = []
        useless: dict[str, list[bytes]] = {}
        for member, payload in (await self._queue.arq.payloads(list(queues))).items():
            try:
                calls.append(read_call(member, payload))
            except NoCall as reason:
                log.error("queue_member_removed", found=member, reason=str(reason))
                useless.setdefault(queues[member], []).append(member.encode())
        await asyncio.gather(*(self._queue.remove(queue, some) for queue, some in useless.items()))
        return calls

    async def _known(self, calls: Sequence[ArqJob]) -> Mapping[str, tuple[str, State]]:
        """Find the jobs of calls that were adopted before, by arq's ids."""
        if not calls:
            return {}
        async with self._resources.ledger.read() as connection:
            return await queries.adopted_as(connection, {call.arq_id: call.enqueued_at for call in calls})

    async def _ended_before(
        self, calls: Sequence[ArqJob], queues: Mapping[str, str], known: Mapping[str, tuple[str, State]]
    ) -> list[Result]:
        """Return the results of calls whose end Redis was never told."""
        standing = [(call, *known[call.arq_id]) for call in calls if call.arq_id in known]
        ended = {job_id: call for call, job_id, state in standing if state in TERMINAL}
        if not ended:
            return []
        async with self._resources.ledger.read() as connection:
            rows = await queries.get_jobs(connection, list(ended))
        now = agreed_time.now()
        return [_told_late(ended[row["id"]], queues[row["arq_id"]], row, now) for row in rows]

    async def _set_aside(self, calls: Sequence[ArqJob], queues: Mapping[str, str], due_by: datetime) -> None:
        entries = [
            Entry(call.arq_id, call.function, queues[call.arq_id], min(call.enqueued_at, due_by)) for call in calls
        ]
        if entries:
            await self._unknown_kinds.set_aside(entries, due_by)

    async def _record(
        self, calls: Sequence[ArqJob], queues: Mapping[str, str], due_by: datetime
    ) -> list[tuple[ArqJob, NewJob]]:
        """Record new calls as jobs, each on its own: one that the ledger refuses keeps no other from being recorded."""
        if not calls:
            return []
        async with self._resources.ledger.read() as connection:
            taken = await queries.states_of(connection, [call.arq_id for call in calls])
        jobs = [self._job(call, queues[call.arq_id], due_by, is_taken=call.arq_id in taken) for call in calls]
        writer, enqueue = self._resources.process_id, self._resources.ledger.enqueue
        recording = (enqueue(Enqueue(jobs=(job,), writer=writer)) for job in jobs)
        outcomes = await asyncio.gather(*recording, return_exceptions=True)
        recorded = []
        for call, job, outcome in zip(calls, jobs, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.warning("claim_not_settled", job_id=call.arq_id, error=repr(outcome.__cause__ or outcome))
            else:
                recorded.append((call, job))
        return recorded

    def _job(self, call: ArqJob, queue: str, due_by: datetime, *, is_taken: bool) -> NewJob:
        """Make the row of a call; one that cannot be performed is a failed row."""
        kind = self._resources.catalogue[call.function]
        fields: dict[str, Any] = {"arq_id": call.arq_id}
        options = Options(queue=queue)
        if is_taken or not _can_be_looked_up(call.arq_id):
            options = Options(queue=queue, tags=(f"arq:{call.arq_id}"[:_LONGEST_TAG],))
        else:
            fields["id"] = call.arq_id
        try:
            job = self._valid_job(call, kind, options, fields)
            return replace(job, run_at=min(job.run_at, due_by))  # it is due, whatever its client's clock said
        except (ValueError, ArgsInvalid) as refusal:
            return _refused_job(call, kind, queue, str(refusal), fields)

    def _valid_job(self, call: ArqJob, kind: Kind[Any, Any], options: Options, fields: dict[str, Any]) -> NewJob:
        if call.args:
            raise ValueError("positional args are not taken: give the fields of the args as keyword arguments")
        try:
            args = accepted_args(kind, call.kwargs)
        except ArgsInvalid:
            raise
        except Exception as error:
            raise ValueError(f"the args of {kind.name} could not be checked: {type(error).__name__}") from error
        return new_job(kind, args, options, call.enqueued_at, **fields)


def _told_late(call: ArqJob, queue: str, row: RowMapping, now: datetime) -> Result:
    success = row["state"] == State.SUCCEEDED
    value = json.loads(row["result"] or "null") if success else row["error_message"]
    return result_of_call(call, queue, now, success=success, value=value, tries=row["attempt"])


def _can_be_looked_up(arq_id: str) -> bool:
    """Whether an id can stand in the path `/v1/jobs/{id}`, and be read there."""
    return arq_id.isprintable() and "/" not in arq_id


def _refused_job(call: ArqJob, kind: Kind[Any, Any], queue: str, reason: str, fields: dict[str, Any]) -> NewJob:
    shown = "{}" if kind.has_secrets else json.dumps(call.kwargs or call.args).replace("\\u0000", "\\ufffd")
    if len(shown) > MAX_ARGS_BYTES:
        shown = "{}"
    return NewJob(
        **{"id": str(uuid_utils.uuid7())} | fields,
        kind=kind.name,
        state=State.FAILED,
        queue=queue,
        args=shown,
        run_at=call.enqueued_at,
        created_at=call.enqueued_at,
        max_attempts=kind.max_attempts,
        error_type="ArgsInvalid",
        error_message=reason,
        finished_at=agreed_time.now(),
    )
