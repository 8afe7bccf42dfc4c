"""Actions on one job: cancel it, or replay it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Literal

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.api.jobs.job_out import JobOut
from service.api.jobs.lookup import JobIdDep, read_job
from service.auth import Principal
from service.errors import PostludeError
from service.ledger.deadline import in_time
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.deps import LanesDep, LifecycleDep, PrincipalDep, ResourcesDep
from service.web.guards import GUARDS
from service.web.problems import responses, type_of
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)
log = structlog.get_logger(__name__)


@router.post("/{job_id}/cancel", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def cancel_job(
    job_id: JobIdDep, resources: ResourcesDep, lanes: LanesDep, lifecycle: LifecycleDep, principal: PrincipalDep
) -> JobOut:
    """Cancel a job. A waiting job ends at once; a running job is interrupted, and ends `cancelled` in any case."""

    async def cancel() -> JobOut:
        await lifecycle.cancel(job_id)
        return await read_job(resources, lanes, job_id)

    with logged("cancel", principal, job_id=job_id):
        return await in_time(cancel(), writes=True)


class ReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_: Literal["last", "start"] = Field(
        "last",
        alias="from",
        description="`last`: it goes on with the steps and the checkpoint that it has kept. `start`: without them.",
    )


_replay: TypeAdapter[ReplayRequest] = TypeAdapter(ReplayRequest)


@router.post(
    "/{job_id}/replay",
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(ReplayRequest, required=False),
)
async def replay_job(
    job_id: JobIdDep,
    request: Request,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    principal: PrincipalDep,
) -> JobOut:
    """Run a failed or cancelled job again under its own id. Its attempts stay in its history.

    Refused with 422, as enqueueing it would be, if its kind or queue is unknown by now, or its args no longer fit.
    """

    with state_of(request).room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(_replay, body, {}) if body else ReplayRequest()

    async def replay() -> JobOut:
        await lifecycle.replay(job_id, from_start=wanted.from_ == "start")
        return await read_job(resources, lanes, job_id)

    with logged("replay", principal, job_id=job_id):
        return await in_time(replay(), writes=True)


@contextmanager
def logged(action: str, principal: Principal, **names: object) -> Iterator[None]:
    """Log who took an action, or was refused one: `key` is the fingerprint of the caller's key."""
    try:
        yield
    except PostludeError as error:
        if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            log.info("action_refused", action=action, key=principal.key, reason=type_of(type(error).__name__), **names)
        raise
    log.info("action_taken", action=action, key=principal.key, **names)
