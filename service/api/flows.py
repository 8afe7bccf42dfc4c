"""Flows over HTTP: jobs that wait for one another, enqueued, looked up, cancelled and replayed together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json

from service import agreed_time
from service.access.limits import check_flow_jobs, note_sender
from service.access.principal import Scope
from service.api.flow_out import FlowCreated, FlowList, FlowOut
from service.api.flow_reads import MOST_JOBS, read_counts, read_flow, read_flows
from service.api.flow_requests import WantedFlow, parse_flow
from service.api.jobs.enqueue import BATCH_LIMIT
from service.api.state import ApiState, api_state_of
from service.ledger.deadline import ANSWER_WITHIN_S, in_time
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueued, IdempotencyKey, NewJob
from service.lifecycle.file_check import may_name_files
from service.lifecycle.flow import Acted
from service.requests.making import job_of
from service.trail import Operator
from service.trail.entries import with_changed
from service.web.body import read_body
from service.web.deps import LifecycleDep, OperatorDep, PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.file_check import file_check_of
from service.web.guards import guards, principal_of
from service.web.idempotency import Idempotency, sent_safely
from service.web.paths import flow_path
from service.web.problems import responses

router = APIRouter(prefix="/v1/flows", tags=["flows"])

# Leaves enough of the 5 s to finish a page, and for the answer.
_ACTS_FOR_S = 2.5
_READ_WITHIN_S = 1.0
_LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": FlowOut, "description": "Time ran out with jobs left: send the same request again"}
}
_ACTION = responses(401, 403, 404, 409, 421, 422, 503, 507)
_CURSOR = Query(description="`next_cursor` of the previous page")


@router.post(
    "",
    dependencies=guards(Scope.ENQUEUE, narrowed=True),
    status_code=202,
    response_model=FlowCreated,
    responses=responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=sent_safely("FlowRequest"),
)
async def enqueue_flow(request: Request) -> Response:
    """Enqueue up to 10,000 jobs that wait for one another, by at most 100,000 names in their `after`: all or none.

    Answered within 5 s, and one more for each 1,000 jobs.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, BATCH_LIMIT, stay)
        return await _enqueue(state, Idempotency.of(request, body, state.keys_under_way))


async def _enqueue(state: ApiState, idempotency: Idempotency) -> Response:
    now, resources = agreed_time.now(), state.resources
    async with state.room.reading:
        wanted = await asyncio.to_thread(
            parse_flow,
            state.requests,
            resources,
            idempotency.body,
            now,
            partial(job_of, resources, now),
        )
    principal = principal_of(idempotency.request)
    note_sender(principal, wanted.jobs)
    check_flow_jobs(principal, wanted.jobs, wanted.flow.callbacks, resources.catalogue)
    if wanted.flow.callbacks or any(map(may_name_files, wanted.jobs)):
        await in_time(file_check_of(idempotency.request).check_flow(wanted.jobs, wanted.flow.callbacks))
    if any(job.lane is not None for job in wanted.jobs):
        await state.lanes.refuse_beside_stock_worker()

    answer_for = partial(_answer, wanted)

    def key_for(_recorded: Sequence[NewJob]) -> IdempotencyKey | None:
        return idempotency.row(_answer(wanted), now, resources.settings, answer_for)

    with idempotency:
        recording = state.lifecycle.enqueue(wanted.jobs, key_for, wanted.flow)
        enqueued = await state.write_deadline.keep(recording, within_s=ANSWER_WITHIN_S + len(wanted.jobs) // 1_000)
    if enqueued.held:
        idempotency.check_same(enqueued.held)
        assert enqueued.held.answer is not None
        return _accepted(idempotency.request, enqueued.held.answer.encode(), {"Idempotent-Replayed": "true"})
    return _accepted(idempotency.request, answer_for(enqueued))


def _answer(wanted: WantedFlow, enqueued: Enqueued | None = None) -> bytes:
    """Write the answer. A job whose unique key is held appears under the id of the key's holder."""
    ids = wanted.ids
    if enqueued is not None:
        stand_for = {job.id: job_id for job, job_id in zip(enqueued.jobs, enqueued.ids, strict=True)}
        ids = {name: stand_for[job_id] for name, job_id in wanted.ids.items()}
    return to_json({"id": wanted.flow.id, "jobs": ids})


def _accepted(request: Request, answer: bytes, headers: dict[str, str] | None = None) -> Response:
    where = flow_path(request.scope, FlowCreated.model_validate_json(answer).id)
    return Response(answer, 202, {"Location": where, **(headers or {})}, "application/json")


@router.get("", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def list_flows(
    resources: ResourcesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, _CURSOR] = None,
) -> FlowList:
    """List flows, newest first. A page of large flows may hold fewer than `limit`: rely on `next_cursor`."""
    return await in_time(read_flows(resources.ledger, cursor, limit))


@router.get(
    "/{flow_id}", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)}
)
async def get_flow(
    flow_id: Text,
    resources: ResourcesDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = MOST_JOBS,
    cursor: Annotated[str | None, _CURSOR] = None,
) -> FlowOut:
    """Look up a flow, with its jobs page by page."""
    return (await in_time(read_flow(resources.ledger, flow_id, cursor, limit))).shown_to(principal)


@router.post("/{flow_id}/cancel", dependencies=guards(Scope.OPERATE), responses={**_LATER, **_ACTION})
async def cancel_flow(
    flow_id: Text,
    response: Response,
    resources: ResourcesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> FlowOut:
    """Cancel all jobs of a flow that have not ended. Running jobs are interrupted."""
    flow = await _act(operator, "cancel", resources.ledger, flow_id, response, lifecycle.cancel_flow)
    return flow.shown_to(principal)


@router.post("/{flow_id}/replay", dependencies=guards(Scope.OPERATE), responses={**_LATER, **_ACTION})
async def replay_flow(
    flow_id: Text,
    response: Response,
    resources: ResourcesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> FlowOut:
    """Run the failed jobs of a flow again, and the ones cancelled by a user. Jobs cancelled because of them follow.

    Jobs that could no longer run, because their kind, queue or args are no longer valid, stay as they are.
    """
    flow = await _act(operator, "replay", resources.ledger, flow_id, response, lifecycle.replay_flow)
    return flow.shown_to(principal)


async def _act(
    operator: Operator,
    action: str,
    ledger: Ledger,
    flow_id: str,
    response: Response,
    act: Callable[..., Awaitable[Acted]],
) -> FlowOut:
    """Act on a flow for as long as an answer may take. The status says whether the whole flow was done."""

    async def act_on_trail() -> bool:
        before = await read_counts(ledger, flow_id)
        async with operator.action(action, "flow", flow_id, before=before) as entry:
            acted = await act(flow_id, within_s=_ACTS_FOR_S)
            after = await read_counts(ledger, flow_id)
            entry.after = with_changed(after.model_dump(mode="json"), acted.changed)
        return acted.is_all

    began = time.monotonic()
    if not await in_time(act_on_trail(), writes=True):
        response.status_code = HTTPStatus.ACCEPTED
    left_s = began + ANSWER_WITHIN_S - time.monotonic()
    return await in_time(read_flow(ledger, flow_id), within_s=max(_READ_WITHIN_S, left_s))
