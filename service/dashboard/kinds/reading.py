"""What the pages of kinds show: how much, how fast, how reliable, and within its SLO or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Kind
from jobs.kit.names import did_you_mean
from service.access.principal import Principal, is_listed
from service.dashboard.kinds.days import Day, read_days
from service.dashboard.kinds.hours import HOUR, Hour, read_hours
from service.errors import KindNotFound
from service.insight.slo import SloState, slo_states
from service.lane_rules import Rule
from service.lanes.lanes import Lanes
from service.lanes.outlook import Overview
from service.ledger.reads.failures import FailureGroup, groups
from service.ledger.reads.figures import Quantiles, Series, counts_since, quantiles, series
from service.ledger.reads.labels import Label, find_label, list_labels
from service.ledger.records.durations import ALL_KINDS
from service.resources import Resources
from service.trail.reads import who_last

_DAY = timedelta(days=1)
_LATELY = timedelta(hours=1)
_EVENTS = ("enqueued", "succeeded", "failed", "cancelled", "retried")
_MOST_LABELS = 500
_MOST_ROWS = 100
_MOST_GROUPS = 10
MEASURES = ("wait", "run", "total")


@dataclass(frozen=True, slots=True)
class KindRow:
    """A kind, or a label, which is what jobs of a kind count as. Counts are of a day, quantiles of an hour."""

    name: str
    kind: Kind[Any, Any] | None
    label: Label | None
    counts: Mapping[str, int]
    run: Quantiles | None
    slo: SloState | None
    pause: Rule | None

    @property
    def ended(self) -> int:
        return self.counts["succeeded"] + self.counts["failed"]

    @property
    def success(self) -> float | None:
        """The share of succeeded jobs among those not cancelled; None if there are none."""
        return self.counts["succeeded"] / self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class KindsPage:
    rows: Sequence[KindRow]
    left_out: int
    days: Sequence[Day]

    @property
    def burning(self) -> Sequence[KindRow]:
        """The kinds that miss their SLO: none of their error budget is left."""
        return [row for row in self.rows if row.slo is not None and row.slo.budget_left < 0]

    @property
    def paused(self) -> Sequence[KindRow]:
        return [row for row in self.rows if row.pause is not None]


@dataclass(frozen=True, slots=True)
class KindPage:
    """One kind or label. `durations` are by measure; everything except the SLO is of the last day."""

    row: KindRow
    durations: Mapping[str, Quantiles]
    day: Series
    hours: Sequence[Hour]
    days: Sequence[Day]
    failures: Sequence[FailureGroup]
    labels: Sequence[Label]
    paused_by: str | None


async def read_kinds(resources: Resources, lanes: Lanes, principal: Principal) -> KindsPage:
    """Read the kinds that can be enqueued here, and the labels of their jobs, busiest first."""
    overview = await lanes.outlook.overview()
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        labels = {label.name: label for label in await list_labels(connection, _MOST_LABELS)}
        every = [*resources.catalogue, *(name for name in labels if name not in resources.catalogue)]
        names = [name for name in every if _is_seen(principal, name, labels.get(name))]
        counts = await counts_since(connection, names, _EVENTS, now - _DAY)
        names.sort(key=lambda name: (-counts[name, "enqueued"], name))
        shown = names[:_MOST_ROWS]
        lately = await quantiles(connection, shown, since=now - _LATELY)
        slos = await slo_states(connection, resources.catalogue, now)
        days = await read_days(connection, ALL_KINDS, _EVENTS, now)
    rows = [
        KindRow(
            name=name,
            kind=resources.catalogue.get(name),
            label=labels.get(name),
            counts={event: counts[name, event] for event in _EVENTS},
            run=lately.get((name, "run")),
            slo=slos.get(name),
            pause=overview.pause_of(f"kind:{name}", now),
        )
        for name in shown
    ]
    return KindsPage(rows, len(names) - len(shown), days)


async def read_kind(resources: Resources, lanes: Lanes, principal: Principal, name: str) -> KindPage:
    """Read a kind or a label. Raises `KindNotFound`."""
    overview = await lanes.outlook.overview()
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        row = await _row(connection, resources, overview, name, now)
        if not _is_seen(principal, name, row.label):
            raise _unknown(name, resources)
        durations = await quantiles(connection, [name], since=now - _DAY)
        labels = await list_labels(connection, _MOST_LABELS) if row.kind is not None else []
        day = await series(connection, _EVENTS, since=now - _DAY, until=now, step=HOUR, kinds=[name])
        return KindPage(
            row=row,
            durations={measure: durations[name, measure] for measure in MEASURES},
            day=day,
            hours=await read_hours(connection, name, day),
            days=await read_days(connection, name, _EVENTS, now),
            failures=await groups(connection, since=now - _DAY, kind=name, limit=_MOST_GROUPS),
            labels=[label for label in labels if label.kind == name],
            paused_by=await who_last(connection, "pause", "kind", name) if row.pause is not None else None,
        )


async def _row(
    connection: AsyncConnection, resources: Resources, overview: Overview, name: str, now: datetime
) -> KindRow:
    kind, pause = resources.catalogue.get(name), overview.pause_of(f"kind:{name}", now)
    label = await find_label(connection, name) if kind is None else None
    if kind is None and label is None and pause is None:
        raise _unknown(name, resources)
    counts = await counts_since(connection, [name], _EVENTS, now - _DAY)
    lately = await quantiles(connection, [name], since=now - _LATELY)
    return KindRow(
        name=name,
        kind=kind,
        label=label,
        counts={event: counts[name, event] for event in _EVENTS},
        run=lately.get((name, "run")),
        slo=(await slo_states(connection, resources.catalogue, now)).get(name),
        pause=pause,
    )


def _is_seen(principal: Principal, name: str, label: Label | None) -> bool:
    """Whether a principal, perhaps limited to some kinds, may know of this one."""
    kind = (label.kind if label is not None else None) or name
    return is_listed(kind, principal.kinds) or is_listed(name, principal.kinds)


def _unknown(name: str, resources: Resources) -> KindNotFound:
    known = ", ".join(sorted(resources.catalogue))
    meant = did_you_mean(name, resources.catalogue)
    return KindNotFound(f"There is no kind {name!r}, and no job with that label.{meant} Known kinds: {known}.")
