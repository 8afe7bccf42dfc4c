"""Lists of jobs, page by page."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service.access.limits import restricted
from service.access.principal import Scope
from service.ledger.deadline import in_time
from service.ledger.reads.flows import RELATED, UNRELATED, Relations
from service.ledger.reads.kept import NOTHING_KEPT, Kept
from service.ledger.reads.listing import Filter
from service.ledger.reads.pages import Page, read_page
from service.ledger.traits import Trait
from service.resources import Resources
from service.web.deps import LanesDep, PrincipalDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.jobs.filters import FilterDep
from service.web.jobs.job_out import JobList, JobOut
from service.web.jobs.list_cursor import cursor_after
from service.web.problems import responses

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_EXPAND = "Show the attempts of each job, with their tracebacks"


@router.get(
    "",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)},
    response_model_exclude_unset=True,
)
async def list_jobs(
    resources: ResourcesDep,
    lanes: LanesDep,
    principal: PrincipalDep,
    wanted: FilterDep,
    expand: Annotated[list[Literal["attempts"]], Query(default_factory=list, description=_EXPAND)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> JobList:
    """List jobs, newest first unless `order=asc`.

    They are ordered by creation time or, with `finished_after` or `finished_before`, by end. A page of large
    jobs may hold fewer than `limit`: `next_cursor` says whether there are more.
    """
    page = await in_time(_read_page(resources, restricted(principal, wanted), limit, with_attempts=bool(expand)))
    reasons = await in_time(lanes.waiting_for.of(page.rows))
    jobs = [
        JobOut.of_row(row, page.attempts.get(row["id"]), why, *_known_of(row["traits"])).shown_to(principal)
        for row, why in zip(page.rows, reasons, strict=True)
    ]
    cursor = None if page.last is None else cursor_after(wanted, *page.last)
    searched = {} if page.searched is None else {"searched": page.searched}
    return JobList(jobs=jobs, next_cursor=cursor, **searched)


def _known_of(traits: int) -> tuple[Relations | None, Kept | None]:
    """Return the relations of a job that is known, without a read, to have none."""
    return None if traits & RELATED else UNRELATED, None if traits & Trait.STEPS.value else NOTHING_KEPT


async def _read_page(resources: Resources, wanted: Filter, limit: int, *, with_attempts: bool) -> Page:
    async with resources.ledger.read() as connection:
        return await read_page(connection, wanted, limit, with_attempts=with_attempts)
