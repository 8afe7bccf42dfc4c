"""The page of apps: who may be called back, whether their calls go out, and what failed lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Scope
from service.apps.reads import find_app, list_apps
from service.apps.records import record_app_deleted
from service.errors import AppNotFound
from service.lanes.lane_view import LaneView
from service.lanes.lanes import Lanes
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads.figures import counts_since
from service.ledger.reads.labels import Label, list_labels
from service.web.cursor import Text
from service.web.page import Page, PageDep
from service.web.page_route import page_router

router = page_router()
admin = page_router(Scope.ADMIN)

PAGE = 50
_DAY = timedelta(days=1)
_MOST_LABELS = 500
_EVENTS = ("enqueued", "succeeded", "failed")


@dataclass(frozen=True, slots=True)
class AppRow:
    """An app, the lane of its calls, and what became of them within a day; `functions` are those called so far."""

    name: str
    url: str
    updated_at: datetime
    lane: LaneView
    functions: int
    counts: Mapping[str, int]

    @property
    def is_held(self) -> bool:
        return self.lane.breaker.state != "closed" or self.lane.pause is not None


@dataclass(frozen=True, slots=True)
class AppsPage:
    rows: Sequence[AppRow]
    older: str | None

    @property
    def held(self) -> Sequence[AppRow]:
        return [row for row in self.rows if row.is_held]


async def read_apps(ledger: Ledger, lanes: Lanes, *, after: str = "") -> AppsPage:
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        apps = await list_apps(connection, after=after, limit=PAGE + 1)
        labels = [one for one in await list_labels(connection, _MOST_LABELS) if one.kind == "call_app"]
        counts = await counts_since(connection, [one.name for one in labels], _EVENTS, now - _DAY)
    views = {view.key: view for view in await lanes.views([f"app:{app.name}" for app in apps[:PAGE]])}
    rows = [_row(app, views[f"app:{app.name}"], labels, counts) for app in apps[:PAGE]]
    return AppsPage(rows, apps[PAGE - 1].name if len(apps) > PAGE else None)


def _row(app: Any, lane: LaneView, labels: Sequence[Label], counts: Mapping[tuple[str, str], int]) -> AppRow:
    """Return the row of an app. Its calls count as `<app>.<function>`."""
    own = [one.name for one in labels if one.name.startswith(f"{app.name}.")]
    summed = {event: sum(counts[name, event] for name in own) for event in _EVENTS}
    return AppRow(app.name, app.url, app.updated_at, lane, len(own), summed)


@router.get("/apps")
async def apps(page: PageDep, after: Annotated[Text, Query(max_length=63)] = "") -> HTMLResponse:
    shown = await in_time(read_apps(page.resources.ledger, page.lanes, after=after))
    may = page.principal.may(Scope.ADMIN)
    return await page.render("apps/list.html", title="Apps", section="apps", shown=shown, after=after, may=may)


@admin.post("/apps/{name}/delete")
async def delete_app(page: PageDep, name: Text) -> Response:
    """Forget an app. Its jobs stay, and are tried again as if it were down."""
    await in_time(_delete(page, name), writes=True)
    return page.toast(f"The app {name} is forgotten.", detail="Its jobs stay until it registers again.", back="/apps")


async def _delete(page: Page, name: str) -> None:
    ledger = page.resources.ledger
    async with ledger.read() as connection:
        row = await find_app(connection, name)
    before = None if row is None else {"name": row.name, "url": row.url}
    async with page.operator.action("delete", "app", name, before=before):
        if not await ledger.database.run(partial(record_app_deleted, name=name)):
            raise AppNotFound(f"There is no app {name!r}.")


router.include_router(admin)
