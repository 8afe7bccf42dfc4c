"""What the pages say about a lane: its state, what waits, and what comes next if it is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from service.lanes.lane_view import LaneView
from service.ledger.reads.lane_ages import count_arrivals, oldest_in_lanes
from service.ledger.reads.lane_figures import starts_in_lanes
from service.trail.reads import who_last

Stands = Literal["held", "probing", "paused", "full", "open"]
# As in `lane_breakers.lua`.
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=10)
_ARRIVALS_OVER = timedelta(minutes=1)
_STARTED_OVER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane. `oldest_at` is when its oldest waiting job became due, `paused_by` who paused it, if known.

    `started` is how many of its jobs started in the last hour.
    """

    view: LaneView
    oldest_at: datetime | None = None
    paused_by: str | None = None
    started: int = 0

    @property
    def stands(self) -> Stands:
        """Its state: the first thing that holds back its jobs."""
        view = self.view
        if view.breaker.state == "open":
            return "held"
        if view.pause is not None:
            return "paused"
        if view.breaker.state == "half_open":
            return "probing"
        most = view.limits.concurrency
        return "full" if most is not None and (view.running or 0) >= most else "open"

    @property
    def is_busy(self) -> bool:
        return bool(self.view.waiting or self.view.running)

    @property
    def origin(self) -> str:
        """Say who limits it."""
        origin, strict = self.view.origin, ", strict order" if self.view.limits.strict else ""
        if origin is None:
            return "at most a quarter of a worker's slots" if self.view.is_shared else "no limits"
        if origin.sort == "rule":
            return ("own limits" if origin.key == self.view.key else f"limits of {origin.key}") + strict
        return ("limits of the kind" if origin.sort == "kind" else "limits sent with a job") + strict


@dataclass(frozen=True, slots=True)
class Held:
    """A lane that its breaker holds: what arrives, and what its next probe will decide.

    `opened_at` is when it last opened, `next_pause` how long it is held if the next probe fails. `drained_in_s` is
    how long the waiting jobs take once it is open: None if it has no rate, or more jobs arrive than its rate allows.
    """

    row: LaneRow
    arriving_per_s: float
    failed_probes: int
    opened_at: datetime | None
    next_pause: timedelta
    drained_in_s: float | None


async def rows_of(connection: AsyncConnection, views: Sequence[LaneView], now: datetime) -> list[LaneRow]:
    """Return the rows of these lanes, in their order."""
    waiting = [view.key for view in views if view.waiting]
    oldest = await oldest_in_lanes(connection, waiting, now) if waiting else {}
    started = await starts_in_lanes(connection, [view.key for view in views], now - _STARTED_OVER) if views else {}
    paused = [view.pause.key for view in views if view.pause is not None]
    paused_by = {key: await who_last(connection, "pause", "lane", key) for key in dict.fromkeys(paused)}
    return [
        LaneRow(
            view,
            oldest.get(view.key),
            None if view.pause is None else paused_by[view.pause.key],
            started.get(view.key, 0),
        )
        for view in views
    ]


async def held_of(connection: AsyncConnection, row: LaneRow, now: datetime) -> Held:
    """Return what to show about a lane that is held."""
    breaker = row.view.breaker
    arriving = await count_arrivals(connection, row.view.key, now - _ARRIVALS_OVER) / _ARRIVALS_OVER.total_seconds()
    longest = row.view.limits.longest_pause_s
    opened_at = None
    if breaker.until is not None and breaker.step and breaker.forced is None:
        opened_at = breaker.until - _pause(breaker.step, longest)
    return Held(
        row=row,
        arriving_per_s=arriving,
        failed_probes=max(breaker.step - 1, 0),
        opened_at=opened_at if opened_at is not None and opened_at <= now else None,
        next_pause=_pause(breaker.step + 1, longest),
        drained_in_s=_drained_in(row.view, arriving),
    )


def _pause(step: int, longest_s: float | None) -> timedelta:
    """Return how long a breaker holds its lane when it opens for the `step`th time in a row."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * int(2 ** min(max(step - 1, 0), 10)))
    return pause if longest_s is None else min(pause, timedelta(seconds=longest_s))


def _drained_in(view: LaneView, arriving: float) -> float | None:
    if view.limits.rate is None or not view.waiting:
        return None
    limit, per_s = view.limits.rate
    left = limit / per_s - arriving
    return view.waiting / left if left > 0 else None
