"""Operations over HTTP: one action on all jobs that match a filter, watched and stopped."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter

from service.api.jobs.actions import logged
from service.api.operation_out import OperationList, OperationOut
from service.api.operation_requests import OperationRequest, new_operation
from service.ledger.deadline import in_time
from service.ledger.operations import Place
from service.lifecycle.lifecycle import Lifecycle
from service.web.body import described
from service.web.cursor import Text, decode, encode
from service.web.deps import LifecycleDep, PrincipalDep
from service.web.deps import Text as PathText
from service.web.etags import UNCHANGED
from service.web.guards import GUARDS
from service.web.moments import Moment
from service.web.problems import responses

router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=GUARDS)

_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


@router.post(
    "",
    status_code=202,
    responses=responses(400, 401, 403, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(OperationRequest, required=True),
)
async def start_operation(request: Request, lifecycle: LifecycleDep, principal: PrincipalDep) -> OperationOut:
    """Do one thing to all jobs that match a filter: `replay`, `cancel`, `delete`, `run_now` or `change` them.

    202: it is recorded, and a worker carries it out, whatever happens to any process. It is counted first. Members are
    the jobs that match when it comes to them, the newest first, among those enqueued before it. Each is dealt with
    once. A `dry_run` changes nothing, and counts what would be done. Watch it by `GET /v1/operations/{id}`.
    """
    new = await new_operation(request, principal.key)
    with logged(
        "start_operation", principal, operation=new.id, does=new.action, filter=new.filter, dry_run=new.dry_run
    ):
        return OperationOut.of(await in_time(lifecycle.operations.accept(new), writes=True), ())


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422, 503)}, response_model_exclude_unset=True)
async def list_operations(
    lifecycle: LifecycleDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> OperationList:
    """List operations, the newest first."""
    after = Place(*decode(_cursor, cursor)) if cursor else None
    found = await in_time(lifecycle.operations.page(after, limit + 1))
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return OperationList(
        operations=[OperationOut.of(one) for one in shown],
        next_cursor=None if last is None else encode([last.created_at.isoformat(), last.id]),
    )


@router.get("/{operation_id}", responses={**UNCHANGED, **responses(401, 404, 421, 422, 503)})
async def get_operation(operation_id: PathText, lifecycle: LifecycleDep) -> OperationOut:
    """Look up an operation: how far it is, and the first members that it failed on, with the reasons."""
    return await in_time(_shown(lifecycle, operation_id))


@router.post("/{operation_id}/stop", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def stop_operation(operation_id: PathText, lifecycle: LifecycleDep, principal: PrincipalDep) -> OperationOut:
    """Stop an operation: from now on no member is dealt with. What was done stays done.

    Its job is cancelled. Replay the job, and the operation goes on where it was.
    """

    async def stop() -> OperationOut:
        await lifecycle.operations.stop(operation_id)
        return await _shown(lifecycle, operation_id)

    with logged("stop_operation", principal, operation=operation_id):
        return await in_time(stop(), writes=True)


async def _shown(lifecycle: Lifecycle, operation_id: str) -> OperationOut:
    operation = await lifecycle.operations.find(operation_id)
    return OperationOut.of(operation, await lifecycle.operations.failures(operation_id))
