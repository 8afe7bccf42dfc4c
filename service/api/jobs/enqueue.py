"""How jobs are enqueued: one, or a batch. `Direct` passes only the request, so everything is read from it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Request, Response

from service import agreed_time
from service.access.limits import check_jobs, note_sender, unseen_parents
from service.access.principal import Principal, Scope
from service.api.jobs.batch import parse_batch
from service.api.jobs.lookup import read_job
from service.api.state import ApiState, api_state_of
from service.errors import UniqueKeyTaken
from service.ledger.deadline import ANSWER_WITHIN_S, in_time
from service.ledger.models import Enqueued, IdempotencyKey, NewJob
from service.lifecycle.file_check import may_name_files
from service.requests.following import check_parents, refuse_unknown
from service.requests.making import job_of
from service.requests.parsing import parse
from service.web.body import read_body
from service.web.file_check import file_check_of
from service.web.guards import guards, principal_of
from service.web.idempotency import Idempotency, sent_safely
from service.web.jobs.job_out import BatchOut, JobOut, batch_json, batch_json_of, new_job_json
from service.web.paths import job_path
from service.web.problems import responses
from service.web.room import MIB

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_BODY_LIMIT = MIB
BATCH_LIMIT = 32 * MIB
_TAKES_LONG = 32 * 1024  # bytes of args: comparing more is done off the loop, which others wait for
_HOLDER_WITHIN_S = 1.0  # at least; what is left of the 5 s for an answer if recording took its own 4 s
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where the job can be looked up"}}


@router.post(
    "",
    dependencies=guards(Scope.ENQUEUE, narrowed=True),
    status_code=202,
    response_model=JobOut,
    responses={
        200: {"model": JobOut, "description": "The live job that holds the `unique_key`", "headers": _LOCATION},
        202: {"description": "The job is recorded", "headers": _LOCATION},
        **responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507),
    },
    openapi_extra=sent_safely("EnqueueRequest"),
)
async def enqueue_job(request: Request) -> Response:
    """Enqueue a job. 202 means that it is recorded: it will run, whichever process dies."""
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, _BODY_LIMIT, stay)
        idempotency = Idempotency.of(request, body, state.keys_under_way)
        wanted = parse(state.requests.one, body, state.requests.kinds)
        now = agreed_time.now()
        if len(body) > _TAKES_LONG:
            job = await asyncio.to_thread(job_of, state.resources, now, wanted, body)
        else:
            job = job_of(state.resources, now, wanted, body)
    note_sender(principal := principal_of(request), [job])
    if principal.is_limited:
        await _check_limits(principal, state, [job])
    if job.after or may_name_files(job) or job.lane is not None:
        await _check_names(request, state, job)
    answer = b""

    def key_for(recorded: Sequence[NewJob]) -> IdempotencyKey | None:
        nonlocal answer
        answer = new_job_json(recorded[0], state.lanes.waiting_for.of_new(recorded[0]))
        return idempotency.row(answer, now, state.resources.settings)

    began = time.monotonic()
    with idempotency:
        enqueued = await state.write_deadline.keep(state.lifecycle.enqueue([job], key_for))
    if enqueued.created:
        if job.after or job.callbacks:
            return await _answer_looked_up(request, job.id, began, 202)
        return _Answer(answer, 202, job_path(request.scope, job.id))
    refuse_unknown([job], enqueued.unknown)
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        if enqueued.held.answer is not None and not (job.after or job.callbacks):
            where = job_path(request.scope, enqueued.held.job_id)
            return _Answer(enqueued.held.answer.encode(), 202, where, replayed=True)
    return await _answer_looked_up(request, enqueued.held.job_id if enqueued.held else enqueued.ids[0], began, 200)


async def _check_names(request: Request, state: ApiState, job: NewJob) -> None:
    """Refuse a job that names jobs or files that do not exist, or a lane while a worker does not support lanes."""
    if job.after:
        check_parents([job])
    if may_name_files(job):
        await in_time(file_check_of(request).check_jobs([job]))
    if job.lane is not None:
        await state.lanes.refuse_beside_stock_worker()


async def _answer_looked_up(request: Request, job_id: str, began: float, status: int) -> Response:
    """Answer with a job as it is now, in the time that is left: the holder of a key, or a job with parents."""
    within_s = max(_HOLDER_WITHIN_S, began + ANSWER_WITHIN_S - time.monotonic())
    state = api_state_of(request)
    principal = principal_of(request)
    job = await in_time(read_job(state.resources, state.lanes, job_id), within_s=within_s)
    if not principal.may_touch(job.kind, job.queue, job.label):
        raise UniqueKeyTaken(f"The unique key is held by the job {job_id}, which this key may not see.")
    if job.enqueued_by != principal.id and not principal.may(Scope.READ):
        principal = replace(principal, sees_args=False)  # a caller who may only enqueue reads nothing of others
    return _Answer(job.shown_to(principal).model_dump_json().encode(), status, job_path(request.scope, job_id))


async def _check_limits(principal: Principal, state: ApiState, jobs: Sequence[NewJob], *place: str) -> None:
    """Refuse jobs beyond the caller's limits, which few callers have."""
    check_jobs(principal, jobs, state.resources.catalogue)
    refuse_unknown(jobs, await in_time(unseen_parents(principal, state.resources.ledger.database, jobs)), *place)


@router.post(
    "/batch",
    dependencies=guards(Scope.ENQUEUE, narrowed=True),
    status_code=202,
    response_model=BatchOut,
    responses=responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=sent_safely("BatchRequest"),
)
async def enqueue_jobs(request: Request) -> Response:
    """Enqueue up to 10,000 jobs, all or none. A job whose `unique_key` is held appears as the key's holder, with its
    kind and state; if the caller may not see the holder, with its id, and the kind and state of the job sent.

    Answered within 5 s, and one more for each 1,000 jobs.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, BATCH_LIMIT, stay)
        return await _enqueue_batch(state, Idempotency.of(request, body, state.keys_under_way))


async def _enqueue_batch(state: ApiState, idempotency: Idempotency) -> Response:
    now = agreed_time.now()
    async with state.room.reading:
        _, jobs = await asyncio.to_thread(
            parse_batch,
            state.requests.batch,
            idempotency.body,
            partial(job_of, state.resources, now),
        )
    note_sender(principal := principal_of(idempotency.request), jobs)
    if principal.is_limited:
        await _check_limits(principal, state, jobs, "jobs")
    check_parents(jobs, "jobs")
    if any(map(may_name_files, jobs)):
        await in_time(file_check_of(idempotency.request).check_jobs(jobs, "jobs"))
    if any(job.lane is not None for job in jobs):
        await state.lanes.refuse_beside_stock_worker()
    answer = b""
    answer_for = partial(batch_json_of, principal=principal)

    def key_for(recorded: Sequence[NewJob]) -> IdempotencyKey | None:
        nonlocal answer
        answer = batch_json(recorded)
        return idempotency.row(answer, now, state.resources.settings, answer_for)

    with idempotency:
        recording = state.lifecycle.enqueue(jobs, key_for)
        enqueued = await state.write_deadline.keep(recording, within_s=ANSWER_WITHIN_S + len(jobs) // 1_000)
    refuse_unknown(jobs, enqueued.unknown, "jobs")
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        told = enqueued.held.answer
        if told is None:  # a batch of one that led to another's job, recorded by a version that kept no answer of these
            return _Answer(answer_for(Enqueued(tuple(jobs), (enqueued.held.job_id,))), 202, replayed=True)
        return _Answer(told.encode(), 202, replayed=True)
    if len(enqueued.created) < len(jobs) or any(job.after for job in jobs):
        answer = answer_for(enqueued)
    return _Answer(answer, 202)


# What `Direct` answers; FastAPI knows the routes for OpenAPI.
DIRECT = {("POST", "/v1/jobs"): enqueue_job, ("POST", "/v1/jobs/batch"): enqueue_jobs}


class _Answer(Response):
    """JSON already written, with headers as they are sent: made in half the time of Starlette's own."""

    def __init__(self, content: bytes, status: int, location: str | None = None, *, replayed: bool = False) -> None:
        self.body, self.status_code, self.background = content, status, None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if location is not None:
            self.raw_headers.append((b"location", location.encode()))
        if replayed:
            self.raw_headers.append((b"idempotent-replayed", b"true"))
