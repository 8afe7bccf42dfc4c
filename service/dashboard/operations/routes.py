"""The pages of operations, and what can be done to one that is under way."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Scope
from service.dashboard.operations.listing import read_operation, read_operations
from service.dashboard.operations.view import OperationView, views_of
from service.dashboard.page_route import page_router
from service.dashboard.permission import forbidden
from service.dashboard.rendering import segment
from service.dashboard.shell import Page, PageDep
from service.errors import ArgsInvalid
from service.ledger.deadline import in_time
from service.ledger.operations import Operation
from service.requests.operation_requests import RATE
from service.requests.parsing import parse
from service.web.deps import Text
from service.web.forms import read_fields
from service.web.operation_out import OperationOut

router = page_router()
actions = page_router(Scope.OPERATE)

_Cursor = Annotated[str | None, Query(max_length=400)]


@router.get("/operations")
async def show_operations(page: PageDep, cursor: _Cursor = None) -> HTMLResponse:
    shown = await in_time(read_operations(page.resources.ledger, cursor, page.now, sees_args=page.principal.sees_args))
    return await page.render(
        "operations/list.html",
        title="Operations",
        section="operations",
        shown=shown,
        cursor=cursor,
        forbidden=forbidden(page.principal, Scope.OPERATE),
    )


@router.get("/operations/{operation_id}")
async def show_operation(page: PageDep, operation_id: Text) -> HTMLResponse:
    sees_args = page.principal.sees_args
    shown = await in_time(read_operation(page.resources.ledger, operation_id, page.now, sees_args=sees_args))
    return await page.render(
        "operations/operation.html",
        title=f"{shown.view.title} · Operations",
        section="operations",
        shown=shown,
        forbidden=forbidden(page.principal, Scope.OPERATE),
    )


@actions.post("/operations/{operation_id}/pace")
async def change_pace(page: PageDep, operation_id: Text) -> Response:
    """Change an operation's pace; an empty field means as fast as possible."""
    rate = _rate((await read_fields(page.request)).get("rate", "").strip())
    before = await in_time(page.lifecycle.operations.find(operation_id))
    async with page.operator.action("change", "operation", operation_id, before=OperationOut.of(before)) as entry:
        after = await in_time(page.lifecycle.operations.set_rate(operation_id, rate), writes=True)
        entry.after = OperationOut.of(after)
    view = await in_time(_view(page, after))
    was = "as fast as possible" if before.rate is None else f"{before.rate:,g}"
    left = "" if view.left_s is None else f" {view.left_text.capitalize()} are left."
    words = "It now goes as fast as possible." if rate is None else f"The pace is now {rate:,g} a second."
    return page.toast(words, detail=f"It was {was}.{left}", back=_path(operation_id))


@actions.post("/operations/{operation_id}/stop")
async def stop_operation(page: PageDep, operation_id: Text) -> Response:
    before = await in_time(page.lifecycle.operations.find(operation_id))
    async with page.operator.action("stop", "operation", operation_id, before=OperationOut.of(before)) as entry:
        after = await in_time(page.lifecycle.operations.stop(operation_id), writes=True)
        entry.after = OperationOut.of(after)
    done = f"{after.dealt_with:,} of {after.matched:,} jobs were dealt with. What was done stays done."
    return page.toast(
        "The operation is stopped.", detail=done, link=("Open it", _path(operation_id)), back=_path(operation_id)
    )


def _rate(text: str) -> float | None:
    if not text:
        return None
    try:
        return parse(RATE, f'{{"rate":{float(text)}}}'.encode(), {}).rate
    except ValueError as error:
        raise ArgsInvalid(f"The pace stays as it is: {text[:50]!r} is not a number of jobs a second.") from error


async def _view(page: Page, operation: Operation) -> OperationView:
    async with page.resources.ledger.read() as connection:
        [view] = await views_of(connection, [operation], page.now, with_aftermath=False, sees_args=True)
    return view


def _path(operation_id: str) -> str:
    return f"/operations/{segment(operation_id)}"
