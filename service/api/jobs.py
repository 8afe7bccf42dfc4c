"""Jobs: look up, list, cancel, replay. See `enqueue.py` for how they come in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.convertors import StringConvertor, register_url_convertor

from service.api.filters import list_filter
from service.api.schemas import JobList, JobOut
from service.api.watchtower import WatchtowerDep
from service.errors import JobNotFound
from service.ledger.deadline import in_time
from service.ledger.reads import jobs as queries
from service.ledger.reads import listing
from service.ledger.reads.listing import Filter
from service.ledger.states import TERMINAL
from service.resources import Resources
from service.web import cursor
from service.web.deps import (
    GUARDS,
    JobIdDep,
    LifecycleDep,
    ResourcesDep,
)
from service.web.etags import UNCHANGED
from service.web.problems import responses
from service.web.room import MIB

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)


class _Job(StringConvertor):
    """A job's id in the last place of a path; the actions on many jobs are paths of their own, and have no GET."""

    regex = r"(?!(?:batch|replay)$)[^/]+"


register_url_convertor("job", _Job())

# A page ends with the job that passes this: args and results may have 256 KiB each.
PAGE_BYTES = 8 * MIB
_READ_AT_ONCE = 100
_ATTEMPT_BYTES = 20_000  # its traceback and message, at most
_EXPAND = "Show the attempts of each job, with their tracebacks"


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422, 503)}, response_model_exclude_unset=True)
async def list_jobs(
    resources: ResourcesDep,
    wanted: Annotated[Filter, Depends(list_filter)],
    expand: Annotated[list[Literal["attempts"]], Query(default_factory=list, description=_EXPAND)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> JobList:
    """List jobs, newest first unless `order=asc`.

    The order is that of their creation or, with `finished_after` or `finished_before`, of their end. A page of large
    jobs may hold fewer than `limit`: `next_cursor` says whether there are more.
    """
    rows, attempts, more = await in_time(_read_page(resources, wanted, limit, with_attempts=bool(expand)))
    jobs = [JobOut.of_row(row, attempts.get(row["id"])) for row in rows]
    if not more:
        return JobList(jobs=jobs, next_cursor=None)
    last = rows[-1]
    return JobList(jobs=jobs, next_cursor=cursor.after(wanted, last["listed_at"], last["id"]))


@router.get("/{job_id:job}", responses={**UNCHANGED, **responses(401, 404, 421, 422, 503)})
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


@router.post("/{job_id}/cancel", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def cancel_job(job_id: JobIdDep, resources: ResourcesDep, lifecycle: LifecycleDep) -> JobOut:
    """Cancel a job. A waiting one ends at once; a running one is interrupted, and ends `cancelled` whatever it does."""

    async def cancel() -> JobOut:
        await lifecycle.cancel(job_id)
        return await read_job(resources, job_id)

    return await in_time(cancel(), writes=True)


@router.post("/{job_id}/replay", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def replay_job(job_id: JobIdDep, resources: ResourcesDep, lifecycle: LifecycleDep) -> JobOut:
    """Run a failed or cancelled job anew under its own id. Its attempts stay in its history.

    Refused with 422 like enqueueing it: when its kind or queue is unknown by now, or its args no longer fit.
    """

    async def replay() -> JobOut:
        await lifecycle.replay(job_id)
        return await read_job(resources, job_id)

    return await in_time(replay(), writes=True)


async def _read_page(
    resources: Resources, wanted: Filter, limit: int, *, with_attempts: bool
) -> tuple[Sequence[RowMapping], Mapping[str, list[RowMapping]], bool]:
    """Read one row more than the page holds, to see whether there is another page."""
    async with resources.ledger.read() as connection:
        rows, shown = await _read_rows(connection, wanted, limit, with_attempts=with_attempts)
        ids = [row["id"] for row in shown] if with_attempts else []
        attempts = await queries.get_attempts(connection, ids) if ids else {}
    return shown, attempts, len(rows) > len(shown)


async def _read_rows(
    connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool
) -> tuple[Sequence[RowMapping], Sequence[RowMapping]]:
    """Read rows, some at a time, until there are more than the page holds; return all, and those that it shows."""
    rows: list[RowMapping] = []
    room, fits = PAGE_BYTES, 0
    while room > 0 and len(rows) <= limit:
        count = min(_READ_AT_ONCE, limit + 1 - len(rows))
        some = await listing.list_jobs(connection, wanted, count)
        for row in some:
            fits += room > 0 and fits < limit
            room -= _size_of(row, with_attempts=with_attempts)
        rows += some
        if len(some) < count:
            break
        wanted = replace(wanted, after=(some[-1]["listed_at"], some[-1]["id"]))
    return rows, rows[:fits]


def _size_of(row: RowMapping, *, with_attempts: bool) -> int:
    """Estimate how many bytes a job has in an answer, and at most in its attempts."""
    return len(row["args"]) + len(row["result"] or "") + (row["attempt"] * _ATTEMPT_BYTES if with_attempts else 0)


async def read_job(resources: Resources, job_id: str) -> JobOut:
    """Read a job as it is shown. Raises `JobNotFound`."""
    found = await resources.ledger.find(job_id)
    if found is None:
        raise JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
    return JobOut.of_row(found.job, found.attempts)
