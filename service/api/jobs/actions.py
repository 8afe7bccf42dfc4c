"""Actions on one job: cancel it, or replay it."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.access.principal import Scope
from service.api.jobs.lookup import read_job
from service.ledger.deadline import in_time
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.deps import LanesDep, LifecycleDep, OperatorDep, PrincipalDep, ResourcesDep
from service.web.guards import guards
from service.web.jobs.job_out import JobOut
from service.web.jobs.lookup import JobIdDep
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/cancel",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def cancel_job(
    job_id: JobIdDep,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> JobOut:
    """Cancel a job. A waiting job ends at once; a running job is interrupted, and ends `cancelled` in any case."""

    async def cancel() -> JobOut:
        before = await read_job(resources, lanes, job_id)
        async with operator.action("cancel", "job", job_id, before=before) as entry:
            await lifecycle.cancel(job_id)
            entry.after = after = await read_job(resources, lanes, job_id)
        return after

    return (await in_time(cancel(), writes=True)).shown_to(principal)


class ReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_: Literal["last", "start"] = Field(
        "last",
        alias="from",
        description="`last`: it continues with the steps and the checkpoint that it has kept. `start`: without them.",
    )


_replay: TypeAdapter[ReplayRequest] = TypeAdapter(ReplayRequest)


@router.post(
    "/{job_id}/replay",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(ReplayRequest, required=False),
)
async def replay_job(
    job_id: JobIdDep,
    request: Request,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> JobOut:
    """Run a failed or cancelled job again under its own id. Its attempts stay in its history.

    Refused with 422, as enqueueing it would be, if its kind or queue is no longer known, or its args no longer valid.
    """

    with state_of(request).room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(_replay, body, {}) if body else ReplayRequest()

    async def replay() -> JobOut:
        before = await read_job(resources, lanes, job_id)
        async with operator.action("replay", "job", job_id, before=before) as entry:
            await lifecycle.replay(job_id, from_start=wanted.from_ == "start")
            entry.after = after = await read_job(resources, lanes, job_id)
        return after

    return (await in_time(replay(), writes=True)).shown_to(principal)
