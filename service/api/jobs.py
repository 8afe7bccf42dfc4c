"""Jobs: enqueue, look up, list, cancel, replay."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import RowMapping

from service.api import cursor
from service.api.body import MIB, parse, read_body
from service.api.deps import (
    JobIdDep,
    LifecycleDep,
    RequestsDep,
    ResourcesDep,
    WatchtowerDep,
    authorise,
    known_query,
    storable,
)
from service.api.idempotency import Idempotency
from service.api.problems import responses
from service.api.schemas import BatchJob, BatchOut, JobList, JobOut, Moment
from service.errors import JobNotFound
from service.ledger import queries
from service.ledger.deadline import ANSWER_WITHIN_S, in_time
from service.ledger.models import NewJob
from service.ledger.states import TERMINAL, State
from service.lifecycle import new_job
from service.resources import Resources

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(authorise), Depends(storable)])

_BODY_LIMIT = MIB
_BATCH_LIMIT = 32 * MIB
_JSON = "application/json"
_KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Makes the request safe to send again: the same key and body give the same answer,"
    " for POSTLUDE_IDEMPOTENCY_HOURS (24).",
}


def _body(schema: str) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [_KEY_HEADER]}


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    responses={
        200: {"model": JobOut, "description": "A live job holds the `unique_key`: here it is"},
        **responses(400, 401, 409, 413, 422, 503, 507),
    },
    openapi_extra=_body("EnqueueRequest"),
)
async def enqueue(
    request: Request, resources: ResourcesDep, lifecycle: LifecycleDep, requests: RequestsDep
) -> Response:
    """Enqueue a job. 202 means that it is recorded: it will run, whatever happens to any process."""
    body = await read_body(request, _BODY_LIMIT)
    idempotency = Idempotency.of(request, body)
    wanted = parse(requests.one, body, requests.kinds)
    now = datetime.now(UTC)
    job = _new_job(resources, wanted, now)
    answer = JobOut.of_new(job).model_dump_json()

    async def record() -> Response:
        enqueued = await lifecycle.enqueue([job], idempotency.row(answer, now, _kept(resources)))
        if enqueued.created:
            return _answer(answer, 202, job.id)
        if enqueued.held:
            idempotency.check_same(enqueued.held)
            if enqueued.held.answer is not None:
                return _answer(enqueued.held.answer, 202, enqueued.held.job_id, replayed=True)
        job_id = enqueued.held.job_id if enqueued.held else enqueued.ids[0]
        holder = await read_job(resources, job_id)
        return _answer(holder.model_dump_json(), 200, job_id)

    with idempotency.in_flight():
        return await in_time(record(), writes=True)


@router.post(
    "/batch",
    status_code=202,
    response_model=BatchOut,
    responses=responses(400, 401, 409, 413, 422, 503, 507),
    openapi_extra=_body("BatchRequest"),
)
async def enqueue_batch(
    request: Request, resources: ResourcesDep, lifecycle: LifecycleDep, requests: RequestsDep
) -> Response:
    """Enqueue up to 10,000 jobs, all or none. A job whose `unique_key` is held stands for its holder.

    Answered within 5 s, and one more for each 1,000 jobs.
    """
    body = await read_body(request, _BATCH_LIMIT)
    idempotency = Idempotency.of(request, body)
    wanted = await asyncio.to_thread(parse, requests.batch, body, requests.kinds)
    now = datetime.now(UTC)
    jobs = [_new_job(resources, one, now) for one in wanted.jobs]
    answer = _batch_answer(jobs, [job.id for job in jobs])
    with idempotency.in_flight():
        recording = lifecycle.enqueue(jobs, idempotency.row(answer, now, _kept(resources)))
        within_s = ANSWER_WITHIN_S + len(jobs) // 1_000
        enqueued = await in_time(recording, writes=True, within_s=within_s)
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        # Without a stored answer: a batch of one, whose job was another's.
        answer = enqueued.held.answer or _batch_answer(jobs, [enqueued.held.job_id])
        return _answer(answer, 202, replayed=True)
    return _answer(_batch_answer(jobs, enqueued.ids), 202)


@router.get("", responses=responses(401, 422, 503), dependencies=[Depends(known_query)])
async def list_jobs(
    resources: ResourcesDep,
    state: State | None = None,
    kind: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    page: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the page before")] = None,
) -> JobList:
    """List jobs, newest first."""
    wanted = queries.Filter(
        state=state,
        kind=kind,
        queue=queue,
        tag=tag,
        created_after=created_after,
        created_before=created_before,
        before=cursor.decode(page) if page else None,
    )
    rows, attempts = await in_time(_read_page(resources, wanted, limit))
    jobs = [JobOut.of_row(row, attempts[row["id"]]) for row in rows[:limit]]
    more = len(rows) > limit
    return JobList(jobs=jobs, next_cursor=cursor.encode(jobs[-1].created_at, jobs[-1].id) if more else None)


@router.get("/{job_id}", responses=responses(401, 404, 422, 503))
async def get_job(
    job_id: JobIdDep,
    response: Response,
    resources: ResourcesDep,
    watchtower: WatchtowerDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Answer when it has ended, or after so many seconds")] = 0,
) -> JobOut:
    """Look a job up. 200 also for a job that failed."""
    job = await in_time(read_job(resources, job_id))
    if wait and job.state not in TERMINAL:
        await watchtower.wait_for_end(job_id, wait)
        job = await in_time(read_job(resources, job_id))
    if job.state not in TERMINAL:
        response.headers["Retry-After"] = "1"
    return job


@router.post("/{job_id}/cancel", responses=responses(401, 404, 409, 422, 503, 507))
async def cancel_job(job_id: JobIdDep, resources: ResourcesDep, lifecycle: LifecycleDep) -> JobOut:
    """Cancel a job. A waiting one ends at once; a running one is interrupted, and ends `cancelled` whatever it does."""

    async def cancel() -> JobOut:
        await lifecycle.cancel(job_id)
        return await read_job(resources, job_id)

    return await in_time(cancel(), writes=True)


@router.post("/{job_id}/replay", responses=responses(401, 404, 409, 422, 503, 507))
async def replay_job(job_id: JobIdDep, resources: ResourcesDep, lifecycle: LifecycleDep) -> JobOut:
    """Run a failed or cancelled job anew under its own id. Its attempts stay in its history."""

    async def replay() -> JobOut:
        await lifecycle.replay(job_id)
        return await read_job(resources, job_id)

    return await in_time(replay(), writes=True)


def _new_job(resources: Resources, wanted: Any, now: datetime) -> NewJob:
    resources.check_queue(wanted.queue)
    return new_job(resources.catalogue[wanted.kind], wanted.args, wanted.options(), now)


def _kept(resources: Resources) -> timedelta:
    return timedelta(hours=resources.settings.idempotency_hours)


async def _read_page(
    resources: Resources, wanted: queries.Filter, limit: int
) -> tuple[Sequence[RowMapping], Mapping[str, list[RowMapping]]]:
    """Read one row more than the page holds, to see whether there is another page."""
    async with resources.ledger.read() as connection:
        rows = await queries.list_jobs(connection, wanted, limit + 1)
        return rows, await queries.get_attempts(connection, [row["id"] for row in rows[:limit]])


async def read_job(resources: Resources, job_id: str) -> JobOut:
    """Read a job as it is shown. Raises `JobNotFound`."""
    async with resources.ledger.read() as connection:
        row = await queries.get_job(connection, job_id)
        if row is None:
            raise JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
        attempts = await queries.get_attempts(connection, [job_id])
    return JobOut.of_row(row, attempts[job_id])


def _batch_answer(jobs: Sequence[NewJob], ids: Sequence[str]) -> str:
    out = [BatchJob(id=job_id, kind=job.kind, state=job.state) for job, job_id in zip(jobs, ids, strict=True)]
    return BatchOut(jobs=out).model_dump_json()


def _answer(content: str, status: int, job_id: str | None = None, *, replayed: bool = False) -> Response:
    headers = {}
    if job_id is not None:
        headers["Location"] = f"/v1/jobs/{job_id}"
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(content, status, headers=headers, media_type=_JSON)
