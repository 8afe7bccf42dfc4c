"""The page of a job: what happened to it, why it does not run, and how to fix it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.responses import HTMLResponse

from service.access.principal import Scope
from service.dashboard import change_form
from service.dashboard.job.curl import curl_of
from service.dashboard.job.edits import args_text
from service.dashboard.job.machine import machine
from service.dashboard.job.reading import JobPage, read_job_page
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.errors import JobNotFound
from service.ledger.deadline import in_time
from service.ledger.states import LIVE, PROMOTABLE, REPLAYABLE, TERMINAL, UNSTARTED, State
from service.retention import kept_until
from service.web.jobs.lookup import JobIdDep

router = page_router()

_LARGEST = 2**31 - 1


@router.get("/jobs/{job_id}")
async def show_job(
    page: PageDep,
    job_id: JobIdDep,
    attempt: Annotated[int | None, Query(ge=1, le=_LARGEST, description="The attempt to show in full")] = None,
) -> HTMLResponse:
    it = await _read(page, job_id, attempt)
    return await page.render(
        "job/job.html",
        title=f"{it.label} {it.state} · Jobs",
        section="jobs",
        it=it,
        drawn=machine(it.way),
        kept_until=_kept_until(page, it),
        curl=curl_of(page, it.job),
        form=change_form.shown(it.job),
        args=args_text(it.args),
        sees_args=page.principal.sees_args,
        may=_may(page, it),
        queues=page.resources.settings.queues,
        opened=attempt,
        kind=page.resources.catalogue.get(it.job["kind"]),
    )


@router.get("/jobs/{job_id}/attempts/{number}")
async def show_attempt(
    page: PageDep, job_id: JobIdDep, number: Annotated[int, Path(ge=1, le=_LARGEST)]
) -> HTMLResponse:
    """Show what an attempt left behind, on the page that is open."""
    it = await _read(page, job_id, number)
    if it.body is None:
        raise JobNotFound(f"The job {job_id!r} has no attempt {number}.")
    return page.fragment("job/attempt_body.html", body=it.body, sees_args=page.principal.sees_args)


async def _read(page: Page, job_id: str, attempt: int | None) -> JobPage:
    return await in_time(read_job_page(page.resources, page.lanes, job_id, page.principal, attempt=attempt))


def _may(page: Page, it: JobPage) -> dict[str, Any]:
    """Say which actions fit the job's state, and whether the caller may act at all."""
    return {
        "operate": page.principal.may(Scope.OPERATE),
        "enqueue": page.principal.may(Scope.ENQUEUE),
        "replay": it.state in REPLAYABLE,
        "cancel": it.state in LIVE,
        "change": it.state in UNSTARTED,
        "run_now": it.state in PROMOTABLE,
        "see_stack": it.state is State.RUNNING,
        "ended": it.state in TERMINAL,
    }


def _kept_until(page: Page, it: JobPage) -> datetime | None:
    ended = it.way.ended_at
    return None if ended is None else kept_until(page.resources.settings, it.state, ended)
