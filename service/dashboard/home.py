"""The home page: what runs here, and where to go on."""

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.errors import LedgerUnavailable
from service.feature import Pages
from service.lanes.lanes import Lanes
from service.lanes.notices import Notices, notices_of
from service.ledger.deadline import in_time
from service.ledger.reads.counts import count_live
from service.ledger.reads.workers import living_workers
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.web import pages
from service.web.deps import LanesDep, LifecycleDep, ResourcesDep
from service.web.guards import PAGE_GUARDS
from service.web.pages import Templates

router = APIRouter(include_in_schema=False, dependencies=PAGE_GUARDS)
router.include_router(pages.router)
_templates = Templates("service.dashboard")


@dataclass(frozen=True, slots=True)
class Activity:
    workers: int
    running: int
    waiting: int
    notices: Notices
    schedules: int
    next_tick: tuple[datetime, str] | None


@router.get("/")
async def home(request: Request, resources: ResourcesDep, lanes: LanesDep, lifecycle: LifecycleDep) -> HTMLResponse:
    """Say what runs. A page carries no key, so where one is asked for, it shows no counts and no kinds."""
    closed = bool(resources.settings.api_keys)
    return _templates.render(
        request,
        "home.html",
        version=version("postlude"),
        closed=closed,
        links=[] if closed else _links(resources),
        activity=None if closed else await _activity(resources, lanes, lifecycle),
        kinds=[] if closed else [resources.catalogue[name] for name in sorted(resources.catalogue)],
    )


def _links(resources: Resources) -> list[Pages]:
    """Return the features' pages that there is something to see on."""
    every = (feature.pages for feature in resources.features)
    return [one for one in every if one is not None and one.are_shown(resources.settings)]


async def _activity(resources: Resources, lanes: Lanes, lifecycle: Lifecycle) -> Activity | None:
    """Ask the ledger; None when it is away."""
    try:
        return await in_time(_read_activity(resources, lanes, lifecycle))
    except LedgerUnavailable:
        return None


async def _read_activity(resources: Resources, lanes: Lanes, lifecycle: Lifecycle) -> Activity:
    notices = notices_of((await lanes.outlook.overview()).held_back)
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        workers = len(await living_workers(connection, now))
        live = await count_live(connection)
    schedules, next_tick = await lifecycle.schedules.upcoming()
    return Activity(
        workers=workers,
        running=live["running"],
        waiting=live["waiting"],
        notices=notices,
        schedules=schedules,
        next_tick=next_tick,
    )
