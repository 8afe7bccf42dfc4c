"""How jobs come in: one, or a batch. Both are answered by `Direct`, so what they need they read from the request."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from service import agreed_time
from service.api.body import MIB, parse, read_body
from service.api.deps import authorise, storable
from service.api.idempotency import Idempotency
from service.api.jobs import read_job
from service.api.problems import responses
from service.api.schemas import BatchOut, JobOut, Requests, batch_json, new_job_json
from service.ledger.deadline import ANSWER_WITHIN_S, in_time, written_in_time
from service.ledger.models import NewJob
from service.lifecycle import Lifecycle, new_job
from service.resources import Resources

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(authorise), Depends(storable)])

_BODY_LIMIT = MIB
_BATCH_LIMIT = 32 * MIB
_HOLDER_WITHIN_S = 1.0  # at least; what is left of the 5 s for an answer where recording took its own 4 s
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
async def enqueue(request: Request) -> Response:
    """Enqueue a job. 202 means that it is recorded: it will run, whatever happens to any process."""
    resources, lifecycle, requests = _at_hand(request)
    body = await read_body(request, _BODY_LIMIT)
    idempotency = Idempotency.of(request, body)
    wanted = parse(requests.one, body, requests.kinds)
    now = agreed_time.now()
    job = _new_job(resources, wanted, now)
    answer = new_job_json(job)
    began = time.monotonic()
    with idempotency:
        recording = lifecycle.enqueue([job], idempotency.row(answer, now, _kept(resources)))
        enqueued = await written_in_time(recording)
    if enqueued.created:
        return _answer(answer, 202, job.id)
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        if enqueued.held.answer is not None:
            return _answer(enqueued.held.answer.encode(), 202, enqueued.held.job_id, replayed=True)
    job_id = enqueued.held.job_id if enqueued.held else enqueued.ids[0]
    within_s = max(_HOLDER_WITHIN_S, began + ANSWER_WITHIN_S - time.monotonic())
    holder = await in_time(read_job(resources, job_id), within_s=within_s)
    return _answer(holder.model_dump_json().encode(), 200, job_id)


@router.post(
    "/batch",
    status_code=202,
    response_model=BatchOut,
    responses=responses(400, 401, 409, 413, 422, 503, 507),
    openapi_extra=_body("BatchRequest"),
)
async def enqueue_batch(request: Request) -> Response:
    """Enqueue up to 10,000 jobs, all or none. A job whose `unique_key` is held stands for its holder.

    Answered within 5 s, and one more for each 1,000 jobs.
    """
    resources, lifecycle, requests = _at_hand(request)
    body = await read_body(request, _BATCH_LIMIT)
    idempotency = Idempotency.of(request, body)
    wanted = await asyncio.to_thread(parse, requests.batch, body, requests.kinds)
    now = agreed_time.now()
    jobs = [_new_job(resources, one, now) for one in wanted.jobs]
    answer = batch_json(jobs, [job.id for job in jobs])
    with idempotency:
        recording = lifecycle.enqueue(jobs, idempotency.row(answer, now, _kept(resources)))
        enqueued = await written_in_time(recording, within_s=ANSWER_WITHIN_S + len(jobs) // 1_000)
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        # Without a stored answer: a batch of one, whose job was another's.
        told = enqueued.held.answer
        answer = told.encode() if told is not None else batch_json(jobs, [enqueued.held.job_id])
        return _answer(answer, 202, replayed=True)
    if len(enqueued.created) < len(jobs):
        answer = batch_json(jobs, enqueued.ids)
    return _answer(answer, 202)


# What `Direct` answers; FastAPI knows the routes for OpenAPI.
DIRECT = {("POST", "/v1/jobs"): enqueue, ("POST", "/v1/jobs/batch"): enqueue_batch}


def _at_hand(request: Request) -> tuple[Resources, Lifecycle, Requests]:
    state = request.app.state
    return state.resources, state.lifecycle, state.requests


def _new_job(resources: Resources, wanted: Any, now: datetime) -> NewJob:
    resources.check_queue(wanted.queue)
    return new_job(resources.catalogue[wanted.kind], wanted.args, wanted.options(), now)


def _kept(resources: Resources) -> timedelta:
    return timedelta(hours=resources.settings.idempotency_hours)


def _answer(content: bytes, status: int, job_id: str | None = None, *, replayed: bool = False) -> Response:
    headers = {}
    if job_id is not None:
        headers["Location"] = f"/v1/jobs/{job_id}"
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(content, status, headers=headers, media_type=_JSON)
