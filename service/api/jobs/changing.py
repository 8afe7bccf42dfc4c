"""Changes to one job that has not started: its fields, and when it is due."""

from fastapi import APIRouter, Request

from service.access.limits import check_asked, check_queue
from service.access.principal import Scope
from service.api.jobs.lookup import read_job
from service.api.state import api_state_of
from service.errors import StateForbids
from service.ledger.deadline import in_time
from service.ledger.states import State
from service.requests.change_requests import ChangeRequest
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.deps import LanesDep, LifecycleDep, OperatorDep, PrincipalDep, ResourcesDep
from service.web.file_check import file_check_of
from service.web.guards import guards
from service.web.jobs.job_out import JobOut
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.problems import responses
from service.web.room import MIB

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.patch(
    "/{job_id:job}",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(ChangeRequest, required=True),
)
async def change_job(
    job_id: JobIdDep,
    request: Request,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> JobOut:
    """Change a job that has not started, or that waits for its next attempt. Only the fields that are sent change.

    A worker that starts it at the same moment sees either no change (the answer is 409) or the whole change.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, MIB, stay)
        kind_name = (await in_time(find_job(resources, job_id))).job["kind"]
        wanted = parse(state.requests.changes.of(kind_name), body, {}, kind=resources.catalogue.get(kind_name)).wanted()
    check_queue(principal, wanted.get("queue"))
    kind = resources.catalogue.get(kind_name)
    if "args" in wanted and kind is not None:
        check_asked(principal, kind_name, kind.write(wanted["args"]).shown, resources.catalogue)
        await in_time(file_check_of(request).check_args(kind, wanted["args"]))
    if wanted.get("lane") is not None:
        await lanes.refuse_beside_stock_worker()

    async def change() -> JobOut:
        before = await read_job(resources, lanes, job_id)
        async with operator.action("change", "job", job_id, before=before, changes=sorted(wanted)) as entry:
            await lifecycle.change(job_id, kind_name, wanted)
            entry.after = after = await read_job(resources, lanes, job_id)
        return after

    return (await in_time(change(), writes=True)).shown_to(principal)


@router.post(
    "/{job_id}/run-now",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def run_job_now(
    job_id: JobIdDep,
    resources: ResourcesDep,
    lanes: LanesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> JobOut:
    """Make a job that waits for its time due now. A queued job is already due, so nothing changes."""

    async def run_now() -> JobOut:
        before = await read_job(resources, lanes, job_id)
        async with operator.action("run_now", "job", job_id, before=before) as entry:
            try:
                await lifecycle.run_now(job_id)
            except StateForbids:
                job = await read_job(resources, lanes, job_id)
                if job.state is State.BLOCKED and job.waiting_for:
                    raise StateForbids(f"The job is blocked: it waits for {job.waiting_for}.") from None
                raise
            entry.after = after = await read_job(resources, lanes, job_id)
        return after

    return (await in_time(run_now(), writes=True)).shown_to(principal)
