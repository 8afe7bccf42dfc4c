"""One job, looked up by its id."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.convertors import StringConvertor, register_url_convertor

from service.access.principal import Scope
from service.api.state import WatchtowerDep
from service.lanes.lanes import Lanes
from service.ledger.deadline import in_time
from service.ledger.states import TERMINAL
from service.resources import Resources
from service.web.deps import LanesDep, PrincipalDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.jobs.job_out import JobOut
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.problems import responses

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class _Job(StringConvertor):
    """A job's id at the end of a path. The actions on many jobs have their own paths, without GET."""

    regex = r"(?!(?:batch|replay)$)[^/]+"


register_url_convertor("job", _Job())


@router.get(
    "/{job_id:job}",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_job(
    job_id: JobIdDep,
    response: Response,
    resources: ResourcesDep,
    lanes: LanesDep,
    watchtower: WatchtowerDep,
    principal: PrincipalDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Answer when the job has ended, or after so many s")] = 0,
) -> JobOut:
    """Look up a job. The status is 200 even if the job has failed."""
    job = await in_time(read_job(resources, lanes, job_id))
    if wait and job.state not in TERMINAL:
        await watchtower.wait_for_end(job_id, wait)
        job = await in_time(read_job(resources, lanes, job_id))
    if job.state not in TERMINAL:
        response.headers["Retry-After"] = "1"
    return job.shown_to(principal)


async def read_job(resources: Resources, lanes: Lanes, job_id: str) -> JobOut:
    """Read a job as callers see it. Raises `JobNotFound`."""
    found = await find_job(resources, job_id)
    [waiting_for] = await lanes.waiting_for.of([found.job])
    return JobOut.of_row(found.job, found.attempts, waiting_for, found.relations, found.kept)
