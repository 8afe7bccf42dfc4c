"""Actions on a job's page: done and recorded on the trail as by the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from fastapi.responses import Response

from service.access.limits import check_queue
from service.access.principal import Scope
from service.dashboard.job.edits import args_wanted, change_wanted
from service.dashboard.page_route import page_router
from service.dashboard.rendering import segment
from service.dashboard.shell import Page, PageDep
from service.dashboard.text import short_id
from service.ledger.deadline import in_time
from service.lifecycle.stacks import ask_for_stack
from service.web.forms import read_fields
from service.web.jobs.job_out import JobOut
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.state import state_of

router = page_router(Scope.OPERATE)


@router.post("/jobs/{job_id}/cancel")
async def cancel(page: PageDep, job_id: JobIdDep) -> Response:
    async def act() -> JobOut:
        async with _noted(page, "cancel", job_id):
            await page.lifecycle.cancel(job_id)
        return await _shown(page, job_id)

    job = await in_time(act(), writes=True)
    words = "It is cancelled." if job.finished_at else "It is being interrupted, and will end cancelled."
    return page.toast(words, back=_path(job_id))


@router.post("/jobs/{job_id}/run-now")
async def run_now(page: PageDep, job_id: JobIdDep) -> Response:
    async def act() -> None:
        async with _noted(page, "run_now", job_id):
            await page.lifecycle.run_now(job_id)

    await in_time(act(), writes=True)
    return page.toast("It is due now.", back=_path(job_id))


@router.post("/jobs/{job_id}/replay")
async def replay(page: PageDep, job_id: JobIdDep, request: Request) -> Response:
    """Replay a job, with other args if the form has any."""
    form = await read_fields(request)
    from_start = form.get("from") == "start"

    async def act() -> None:
        async with _noted(page, "replay", job_id):
            if "args" not in form:
                await page.lifecycle.replay(job_id, from_start=from_start)
                return
            kind = (await find_job(page.resources, job_id)).job["kind"]
            adapter = state_of(request).requests.changes.of(kind)
            wanted = args_wanted(form, adapter, page.resources.catalogue.get(kind))
            await page.lifecycle.replay_edited(job_id, kind, wanted["args"], from_start=from_start)

    await in_time(act(), writes=True)
    return page.toast(f"Job {short_id(job_id)} runs again.", back=_path(job_id))


@router.post("/jobs/{job_id}/change")
async def change(page: PageDep, job_id: JobIdDep, request: Request) -> Response:
    form = await read_fields(request)

    async def act() -> list[str]:
        async with _noted(page, "change", job_id):
            job = (await find_job(page.resources, job_id)).job
            kind = job["kind"]
            adapter = state_of(request).requests.changes.of(kind)
            wanted = change_wanted(job, form, adapter, page.resources.catalogue.get(kind))
            check_queue(page.principal, wanted.get("queue"))
            if wanted.get("lane") is not None:
                await page.lanes.refuse_beside_stock_worker()
            await page.lifecycle.change(job_id, kind, wanted)
        return sorted(wanted)

    changed = await in_time(act(), writes=True)
    return page.toast(f"Changed: {', '.join(changed).replace('_', ' ')}.", back=_path(job_id))


@router.post("/jobs/{job_id}/stack")
async def show_stack(page: PageDep, job_id: JobIdDep) -> Response:
    async def ask() -> None:
        await find_job(page.resources, job_id)
        async with page.operator.action("show_stack", "job", job_id):
            await ask_for_stack(page.resources.ledger, job_id)

    await in_time(ask(), writes=True)
    return page.toast("Its worker was asked for the stack.", back=_path(job_id))


@asynccontextmanager
async def _noted(page: Page, action: str, job_id: str) -> AsyncIterator[None]:
    """Record an action on the trail, with the job before and after it."""
    before = await _shown(page, job_id)
    async with page.operator.action(action, "job", job_id, before=before) as entry:
        yield
        entry.after = await _shown(page, job_id)


async def _shown(page: Page, job_id: str) -> JobOut:
    found = await find_job(page.resources, job_id)
    [waiting_for] = await page.lanes.waiting_for.of([found.job])
    return JobOut.of_row(found.job, found.attempts, waiting_for, found.relations, found.kept)


def _path(job_id: str) -> str:
    return f"/jobs/{segment(job_id)}"
