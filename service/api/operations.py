"""Operations over HTTP: one action on all jobs that match a filter, watched and stopped."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter

from service.access.limits import check_queue, restricted_filter
from service.access.principal import Principal, Scope
from service.errors import FilterInvalid, OperationNotFound
from service.ledger.deadline import in_time
from service.ledger.operations import NewOperation, Operation, Place
from service.lifecycle.lifecycle import Lifecycle
from service.requests.operation_requests import OPERATION, RATE, OperationRequest, RateRequest, as_sent, new_operation
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.cursor import Text, decode, encode
from service.web.deps import LifecycleDep, OperatorDep, PrincipalDep
from service.web.deps import Text as PathText
from service.web.etags import UNCHANGED
from service.web.guards import guards, principal_of
from service.web.moments import Moment
from service.web.operation_out import OperationList, OperationOut
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/operations", tags=["operations"])

_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


@router.post(
    "",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    status_code=202,
    responses=responses(400, 401, 403, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(OperationRequest, required=True),
)
async def start_operation(request: Request, lifecycle: LifecycleDep, operator: OperatorDep) -> OperationOut:
    """Act on all jobs that match a filter: `replay`, `cancel`, `delete`, `run_now` or `change` them.

    202: it is recorded, and a worker carries it out, whichever process dies. Its members are counted first:
    the jobs, enqueued before it, that match when it comes to them, newest first. Each is acted on only
    once. A `dry_run` changes nothing, and counts what would be done. Watch it with `GET /v1/operations/{id}`.
    """
    new = await _read_operation(request)

    async def start() -> OperationOut:
        async with operator.action("start", "operation", new.id, does=new.action, filter=new.filter) as entry:
            entry.after = started = OperationOut.of(await lifecycle.operations.accept(new), ())
        return started

    return await in_time(start(), writes=True)


async def _read_operation(request: Request) -> NewOperation:
    state = state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(OPERATION, body, {}, refusals={"filter": FilterInvalid})
    if wanted.sets_lane:
        await state.lanes.refuse_beside_stock_worker()
    principal = principal_of(request)
    check_queue(principal, (wanted.change or {}).get("queue"))
    sent = restricted_filter(principal, as_sent(body))
    return new_operation(state.resources, state.requests.changes, wanted, sent, principal.id)


@router.get(
    "",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)},
    response_model_exclude_unset=True,
)
async def list_operations(
    lifecycle: LifecycleDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> OperationList:
    """List operations, newest first."""
    after = Place(*decode(_cursor, cursor)) if cursor else None
    found = await in_time(lifecycle.operations.page(after, limit + 1))
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return OperationList(
        operations=[OperationOut.of(one).shown_to(principal) for one in shown if _is_its(principal, one)],
        next_cursor=None if last is None else encode([last.created_at.isoformat(), last.id]),
    )


@router.get(
    "/{operation_id}",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_operation(operation_id: PathText, lifecycle: LifecycleDep, principal: PrincipalDep) -> OperationOut:
    """Look up an operation: its progress, and the first members that it failed on, with the reasons."""
    return (await in_time(_shown(lifecycle, operation_id, principal))).shown_to(principal)


@router.patch(
    "/{operation_id}",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(RateRequest, required=True),
)
async def change_operation(
    operation_id: PathText,
    request: Request,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> OperationOut:
    """Change the `rate` of an operation that has not ended, from its next members on; null: as fast as possible."""
    with state_of(request).room.stay() as stay:
        rate = parse(RATE, await read_body(request, MIB, stay), {}).rate

    async def change() -> OperationOut:
        before = await _shown(lifecycle, operation_id, principal)
        async with operator.action("change", "operation", operation_id, before=before) as entry:
            await lifecycle.operations.set_rate(operation_id, rate)
            entry.after = after = await _shown(lifecycle, operation_id, principal)
        return after

    return (await in_time(change(), writes=True)).shown_to(principal)


@router.post(
    "/{operation_id}/stop",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def stop_operation(
    operation_id: PathText, lifecycle: LifecycleDep, operator: OperatorDep, principal: PrincipalDep
) -> OperationOut:
    """Stop an operation: no further job is acted on. What was done stays done.

    Its job is cancelled. Replay that job to continue the operation where it was.
    """

    async def stop() -> OperationOut:
        before = await _shown(lifecycle, operation_id, principal)
        async with operator.action("stop", "operation", operation_id, before=before) as entry:
            await lifecycle.operations.stop(operation_id)
            entry.after = after = await _shown(lifecycle, operation_id, principal)
        return after

    return (await in_time(stop(), writes=True)).shown_to(principal)


def _is_its(principal: Principal, operation: Operation) -> bool:
    """Whether the principal may see an operation: a limited one sees only its own."""
    return not principal.is_limited or operation.principal == principal.id


async def _shown(lifecycle: Lifecycle, operation_id: str, principal: Principal) -> OperationOut:
    operation = await lifecycle.operations.find(operation_id)
    if not _is_its(principal, operation):
        raise OperationNotFound(f"There is no operation {operation_id!r}.")
    return OperationOut.of(operation, await lifecycle.operations.failures(operation_id))
