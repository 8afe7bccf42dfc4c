"""Jobs: look up, list, cancel, replay. See `enqueue.py` for how they come in."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import RowMapping

from service.api import cursor
from service.api.deps import (
    JobIdDep,
    LifecycleDep,
    ResourcesDep,
    WatchtowerDep,
    authorise,
    known_query,
    storable,
)
from service.api.problems import responses
from service.api.schemas import JobList, JobOut, Moment
from service.errors import JobNotFound
from service.ledger import queries
from service.ledger.deadline import in_time
from service.ledger.states import TERMINAL, State
from service.resources import Resources

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(authorise), Depends(storable)])


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


async def _read_page(
    resources: Resources, wanted: queries.Filter, limit: int
) -> tuple[Sequence[RowMapping], Mapping[str, list[RowMapping]]]:
    """Read one row more than the page holds, to see whether there is another page."""
    async with resources.ledger.read() as connection:
        rows = await queries.list_jobs(connection, wanted, limit + 1)
        return rows, await queries.get_attempts(connection, [row["id"] for row in rows[:limit]])


async def read_job(resources: Resources, job_id: str) -> JobOut:
    """Read a job as it is shown. Raises `JobNotFound`."""
    found = await resources.ledger.find(job_id)
    if found is None:
        raise JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
    return JobOut.of_row(found.job, found.attempts)
