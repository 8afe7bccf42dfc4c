"""The routes of workers."""

from fastapi import Response
from fastapi.responses import HTMLResponse

from service.access.principal import Scope
from service.dashboard.page_route import page_router
from service.dashboard.shell import PageDep
from service.dashboard.workers.reading import read_worker, read_workers
from service.ledger.deadline import in_time
from service.lifecycle import workers as lifecycle
from service.web.deps import Text
from service.words import counted

router = page_router()
actions = page_router(Scope.OPERATE)


@router.get("/workers")
async def show_workers(page: PageDep) -> HTMLResponse:
    resources = page.resources
    shown = await in_time(read_workers(resources.ledger, resources.catalogue, page.principal))
    may = page.principal.may(Scope.OPERATE)
    return await page.render("workers/list.html", title="Workers", section="workers", shown=shown, may=may)


@actions.post("/workers/{worker_id}/drain")
async def drain_worker(page: PageDep, worker_id: Text) -> Response:
    async with page.operator.action("drain", "worker", worker_id) as entry:
        worker = await in_time(lifecycle.drain(page.resources.ledger, worker_id), writes=True)
        entry.after = {"drain_at": worker.drain_at}
    detail = f"It finishes the {counted(worker.running, 'job')} that it has." if worker.running else None
    return page.toast(f"{worker.id} takes no new jobs.", detail=detail, back="/workers")


@actions.post("/workers/{worker_id}/forget")
async def forget_worker(page: PageDep, worker_id: Text) -> Response:
    async with page.operator.action("forget", "worker", worker_id):
        worker = await in_time(lifecycle.forget(page.resources.ledger, worker_id), writes=True)
    return page.toast(f"{worker.id} is off the list.", back="/workers")


@router.get("/workers/{worker_id}")
async def show_worker(page: PageDep, worker_id: Text) -> HTMLResponse:
    resources = page.resources
    shown = await in_time(read_worker(resources.ledger, resources.catalogue, page.principal, worker_id))
    return await page.render(
        "workers/worker.html",
        title=f"{shown.worker.id} · Workers",
        section="workers",
        shown=shown,
        may=page.principal.may(Scope.OPERATE),
    )
