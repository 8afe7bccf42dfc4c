"""The pages of flows, and what can be done to one."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Scope
from service.dashboard.flows import layout
from service.dashboard.flows.graph import read_flow, too_large
from service.dashboard.flows.listing import FlowsPage, read_flows
from service.dashboard.page_route import page_router
from service.dashboard.permission import forbidden
from service.dashboard.rendering import segment
from service.dashboard.shell import Page, PageDep
from service.ledger.deadline import in_time
from service.ledger.reads.flows import counts_of
from service.lifecycle.flow import Acted
from service.trail.entries import with_changed
from service.web.deps import Text
from service.words import counted

router = page_router()
actions = page_router(Scope.OPERATE)

# Leaves enough of the 5 s to finish a page, and for the answer.
_ACTS_FOR_S = 2.5
_Cursor = Annotated[str | None, Query(max_length=400)]


@router.get("/flows")
async def list_flows(page: PageDep, cursor: _Cursor = None) -> HTMLResponse:
    shown = await in_time(read_flows(page.resources.ledger, cursor))
    return await page.render(
        "flows/list.html", title="Flows", section="flows", shown=shown, cursor=cursor, failed=_failed(shown)
    )


@router.get("/flows/{flow_id}")
async def show_flow(page: PageDep, flow_id: Text, cursor: _Cursor = None) -> HTMLResponse:
    shown = await in_time(read_flow(page.resources.ledger, flow_id, cursor, page.now))
    return await page.render(
        "flows/flow.html",
        title=f"{shown.name or 'A flow'} · Flows",
        section="flows",
        shown=shown,
        cursor=cursor,
        sizes=(layout.BOX_WIDTH, layout.BOX_HEIGHT),
        too_large=too_large(shown),
        forbidden=forbidden(page.principal, Scope.OPERATE),
    )


@actions.post("/flows/{flow_id}/cancel")
async def cancel_flow(page: PageDep, flow_id: Text) -> Response:
    return await _act(page, flow_id, "cancel", page.lifecycle.cancel_flow, "The flow is cancelled.")


@actions.post("/flows/{flow_id}/replay")
async def replay_flow(page: PageDep, flow_id: Text) -> Response:
    return await _act(page, flow_id, "replay", page.lifecycle.replay_flow, "Its failed jobs run again.")


async def _act(
    page: Page, flow_id: str, name: str, act: Callable[..., Coroutine[Any, Any, Acted]], done: str
) -> Response:
    ledger = page.resources.ledger
    before = await in_time(read_flow(ledger, flow_id, None, page.now))
    async with page.operator.action(name, "flow", flow_id) as entry:
        acted = await in_time(act(flow_id, within_s=_ACTS_FOR_S), writes=True)
        async with ledger.read() as connection:
            after = (await counts_of(connection, [flow_id]))[flow_id]
        entry.before = {"live": before.live, "failed": before.replayable}
        entry.after = with_changed({state.value: count for state, count in after.states.items()}, acted.changed)
    path = f"/flows/{segment(flow_id)}"
    if acted.is_all:
        return page.toast(done, back=path)
    return page.toast("Part of it is done.", detail="The flow is large. Press the same button again.", back=path)


def _failed(shown: FlowsPage) -> str:
    """Say how many of the flows on the page have failed."""
    if not shown.failed:
        return "None of those shown has failed."
    return f"{counted(shown.failed, 'flow')} of those shown {'has' if shown.failed == 1 else 'have'} failed."
