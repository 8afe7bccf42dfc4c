"""Queues: what waits on each, how long, which workers serve it, and whether it is paused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Response
from fastapi.responses import HTMLResponse

from jobs.kit.names import did_you_mean
from service.access.principal import Scope
from service.dashboard import pausing
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.errors import QueueNotFound
from service.insight.levels import of_queue
from service.lane_rules import Rule
from service.lanes.lanes import Lanes
from service.ledger.deadline import in_time
from service.ledger.reads.counts import QueueCounts, count_by_queue
from service.ledger.reads.figures import levels
from service.ledger.reads.workers import living_workers
from service.resources import Resources
from service.trail.reads import who_last
from service.web.deps import Text

router = page_router()
actions = page_router(Scope.OPERATE)

_LAST = timedelta(hours=1)
_STEP = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue. `workers` are the living ones that serve it; `waited` is what waited in the last hour, None: unknown."""

    name: str
    counts: QueueCounts
    workers: int
    pause: Rule | None
    paused_by: str | None
    waited: Sequence[float | None]

    @property
    def is_stuck(self) -> bool:
        """Whether jobs wait that no worker serves."""
        return bool(self.counts.waiting) and not self.workers


@dataclass(frozen=True, slots=True)
class QueuesPage:
    rows: Sequence[QueueRow]

    @property
    def paused(self) -> Sequence[QueueRow]:
        return [row for row in self.rows if row.pause is not None]

    @property
    def stuck(self) -> Sequence[QueueRow]:
        return [row for row in self.rows if row.is_stuck]

    @property
    def waiting(self) -> int:
        return sum(row.counts.waiting for row in self.rows)

    @property
    def oldest_at(self) -> datetime | None:
        return min((row.counts.oldest_due_at for row in self.rows if row.counts.oldest_due_at), default=None)


async def read_queues(resources: Resources, lanes: Lanes) -> QueuesPage:
    """Read the queues that kinds or workers name, that jobs wait on, or that are paused; fullest first."""
    overview = await lanes.outlook.overview()
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        counts = await count_by_queue(connection, now)
        worked = [set(worker["queues"].split(",")) for worker in await living_workers(connection, now)]
        pauses = _pauses(overview.paused, now)
        names = sorted(resources.known_queues | overview.queues | counts.keys() | pauses.keys())
        wanted = [of_queue("waiting", name) for name in names]
        waited = (await levels(connection, wanted, since=now - _LAST, until=now, step=_STEP)).values
        rows = [
            QueueRow(
                name=name,
                counts=counts.get(name, QueueCounts()),
                workers=sum(name in queues for queues in worked),
                pause=pauses.get(name),
                paused_by=await who_last(connection, "pause", "queue", name) if name in pauses else None,
                waited=waited.get(of_queue("waiting", name), ()),
            )
            for name in names
        ]
    return QueuesPage(sorted(rows, key=lambda row: (-row.counts.waiting, row.name)))


def _pauses(paused: Mapping[str, Rule], now: datetime) -> dict[str, Rule]:
    rules = (rule for rule in paused.values() if rule.key.startswith("queue:") and rule.is_paused(now))
    return {rule.key.removeprefix("queue:"): rule for rule in rules}


@router.get("/queues")
async def list_queues(page: PageDep) -> HTMLResponse:
    shown = await in_time(read_queues(page.resources, page.lanes))
    may = page.principal.may(Scope.OPERATE)
    return await page.render(
        "queues/list.html", title="Queues", section="queues", shown=shown, spans=pausing.SPANS, may=may
    )


@actions.post("/queues/{name:text}/pause")
async def pause_queue(page: PageDep, name: Text) -> Response:
    await _check(page, name)
    change = await pausing.pause(page, f"queue:{name}")
    detail = None if change.is_applied else pausing.NOT_HEARD
    return page.toast(f"The queue {name} is paused {pausing.span_words(change)}.", detail=detail, back="/queues")


@actions.post("/queues/{name:text}/resume")
async def resume_queue(page: PageDep, name: Text) -> Response:
    await _check(page, name)
    change = await pausing.resume(page, f"queue:{name}")
    detail = None if change.is_applied else pausing.NOT_HEARD
    return page.toast(f"The queue {name} goes on.", detail=detail, back="/queues")


async def _check(page: Page, name: str) -> None:
    """Raise `QueueNotFound` for a queue that does not exist."""
    known = [row.name for row in (await in_time(read_queues(page.resources, page.lanes))).rows]
    if name not in known:
        meant = did_you_mean(name, known)
        raise QueueNotFound(f"There is no queue {name!r}.{meant} Known queues: {', '.join(known)}.")
