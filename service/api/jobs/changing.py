"""Changes of one job that has not started: what it has, and when it is due."""

from fastapi import APIRouter, Request

from service.api.jobs.actions import logged
from service.api.jobs.job_out import JobOut
from service.api.jobs.lookup import JobIdDep, find_job, read_job
from service.api.state import api_state_of
from service.errors import StateForbids
from service.ledger.deadline import in_time
from service.ledger.states import State
from service.requests.change_requests import ChangeRequest
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.deps import LanesDep, LifecycleDep, PrincipalDep, ResourcesDep
from service.web.guards import GUARDS
from service.web.problems import responses
from service.web.room import MIB

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)


@router.patch(
    "/{job_id:job}",
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(ChangeRequest, required=True),
)
async def change_job(
    job_id: JobIdDep,
    request: Request,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    principal: PrincipalDep,
) -> JobOut:
    """Change a job that has not started, also one that waits for its next attempt: what is sent, and nothing else.

    A worker that starts it at this moment finds it as it was, which is answered with 409, or changed as a whole.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, MIB, stay)
        kind_name = (await in_time(find_job(resources, job_id))).job["kind"]
        wanted = parse(state.requests.changes.of(kind_name), body, {}, kind=resources.catalogue.get(kind_name)).wanted()
    if wanted.get("lane") is not None:
        await lanes.refuse_beside_stock_worker()

    async def change() -> JobOut:
        await lifecycle.change(job_id, kind_name, wanted)
        return await read_job(resources, lanes, job_id)

    with logged("change", principal, job_id=job_id, changes=sorted(wanted)):
        return await in_time(change(), writes=True)


@router.post("/{job_id}/run-now", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def run_job_now(
    job_id: JobIdDep, resources: ResourcesDep, lanes: LanesDep, lifecycle: LifecycleDep, principal: PrincipalDep
) -> JobOut:
    """Let a job that waits for its time be due at once. One that is queued is due already: nothing changes."""

    async def run_now() -> JobOut:
        try:
            await lifecycle.run_now(job_id)
        except StateForbids:
            job = await read_job(resources, lanes, job_id)
            if job.state is State.BLOCKED and job.waiting_for:
                raise StateForbids(f"The job is blocked: it waits for {job.waiting_for}.") from None
            raise
        return await read_job(resources, lanes, job_id)

    with logged("run_now", principal, job_id=job_id):
        return await in_time(run_now(), writes=True)
