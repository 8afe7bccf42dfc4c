"""What the overview shows, read at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.overview.rates import ENDED, EVENTS, Rates, rates_of
from service.dashboard.pulse import Pulse
from service.insight.levels import of_queue
from service.lane_rules import Rule
from service.lanes.lanes import Lanes
from service.ledger.ledger import Ledger
from service.ledger.reads import failures, figures, standing
from service.ledger.reads.failures import FailureGroup
from service.ledger.reads.figures import LevelSeries
from service.ledger.reads.held_back import HeldBack
from service.ledger.reads.lanes import count_in_lanes
from service.ledger.reads.standing import Counted, Deploy
from service.ledger.reads.worker_views import WorkerState, WorkerView, list_workers
from service.ledger.states import State

HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_SPARKS = ("waiting", "running", "scheduled", "retrying", "gap", "unaccounted")
_COUNTED = (State.QUEUED, State.SCHEDULED, State.RETRYING)
_LOOKED_EVERY = timedelta(seconds=10)
_MOST_GROUPS = 5
_MOST_ROWS = 6


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue now; `oldest_s` is how long its oldest due job has waited."""

    name: str
    waiting: int
    running: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    group: FailureGroup
    series: Sequence[int]


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A lane, kind or queue that is held, and how many jobs wait in it; None if that is not counted."""

    rule: Rule
    waiting: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything but what is wrong. Counts of states stop at `standing.MOST_COUNTED`; `levels` may know more."""

    now: datetime
    counts: Mapping[State, Counted]
    levels: Mapping[str, float]
    history: LevelSeries
    audited_at: datetime | None
    due: Mapping[State, datetime]
    rates: Rates
    deploys: Sequence[Deploy]
    queues: Sequence[QueueRow]
    workers: Sequence[WorkerView]
    groups: Sequence[GroupRow]
    held: Sequence[HeldRow]
    held_count: int

    @property
    def running(self) -> int:
        """How many jobs really run: jobs that a worker started beyond its slots do not run yet."""
        return sum(min(one.running, one.running if one.slots is None else one.slots) for one in self.living)

    @property
    def slots(self) -> int:
        return sum(one.slots or 0 for one in self.living)

    @property
    def living(self) -> list[WorkerView]:
        return [one for one in self.workers if one.state in (WorkerState.ALIVE, WorkerState.DRAINING)]

    @property
    def oldest_s(self) -> float | None:
        """How long the oldest due job has waited."""
        ages = [row.oldest_s for row in self.queues if row.oldest_s is not None]
        return max(ages, default=self.levels.get("oldest_s"))


async def read_standing(ledger: Ledger, lanes: Lanes, pulse: Pulse) -> Standing | None:
    """Read the present state; None if nothing was ever enqueued. Raises `LedgerUnavailable`."""
    held = (await lanes.outlook.overview()).held_back
    async with ledger.read() as connection:
        if not await standing.was_ever_used(connection):
            return None
        now = await ledger.database.now(connection)
        series = await figures.series(connection, {*EVENTS, *ENDED}, since=now - HOUR, until=now, step=_MINUTE)
        counts = await standing.count_states(connection, _COUNTED)
        levels = await figures.levels_now(connection, now)
        return Standing(
            now=now,
            counts=counts,
            levels=levels,
            history=await figures.levels(connection, _SPARKS, since=now - HOUR, until=now, step=_MINUTE),
            audited_at=await _audited_at(connection, now),
            due=await standing.next_due(connection),
            rates=rates_of(series, pulse.rates()),
            deploys=await standing.deploys(connection, now - HOUR),
            queues=await _queues(connection, now, levels, is_long=counts[State.QUEUED].more),
            workers=await list_workers(connection, now),
            groups=await _groups(connection, now),
            held=await _held(connection, held),
            held_count=len(held.kinds_and_queues) + held.lanes_count + held.breakers_count,
        )


async def _audited_at(connection: AsyncConnection, now: datetime) -> datetime | None:
    """Return when the last audit ran, if within the last minute."""
    looks = await figures.levels(connection, ["unaccounted"], since=now - _MINUTE, until=now, step=_LOOKED_EVERY)
    known = [number for number, value in enumerate(looks.values["unaccounted"]) if value is not None]
    return min(looks.start + known[-1] * looks.step, now) if known else None


async def _queues(
    connection: AsyncConnection, now: datetime, levels: Mapping[str, float], *, is_long: bool
) -> list[QueueRow]:
    """Return the queues, oldest wait first: counted now or, if that takes long, as of some seconds ago."""
    if is_long:
        prefix = of_queue("waiting", "")
        names = [name.removeprefix(prefix) for name in levels if name.startswith(prefix)]
        rows = [
            QueueRow(
                name=name,
                waiting=int(levels[of_queue("waiting", name)]),
                running=int(levels.get(of_queue("running", name), 0)),
                oldest_s=levels.get(of_queue("oldest_s", name)),
            )
            for name in names
        ]
    else:
        rows = [
            QueueRow(name, one.waiting, one.running, None if one.oldest_at is None else _age(one.oldest_at, now))
            for name, one in (await standing.count_by_queue(connection)).items()
        ]
    return sorted(rows, key=lambda row: (-(row.oldest_s or 0), -row.waiting, row.name))[:_MOST_ROWS]


def _age(moment: datetime, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0)


async def _groups(connection: AsyncConnection, now: datetime) -> list[GroupRow]:
    found = await failures.groups(connection, since=now - HOUR, limit=_MOST_GROUPS)
    prints = [group.fingerprint for group in found]
    series = await failures.failure_series(connection, prints, since=now - HOUR, until=now, step=2 * _MINUTE)
    return [GroupRow(group, series[group.fingerprint]) for group in found]


async def _held(connection: AsyncConnection, held: HeldBack) -> list[HeldRow]:
    lanes = {rule.key: rule for rule in (*held.breakers, *held.lanes)}
    first = dict(list(lanes.items())[:_MOST_ROWS])
    counts = await count_in_lanes(connection, list(first)) if first else {}
    rows = [HeldRow(rule, counts[key].waiting) for key, rule in first.items()]
    return [*rows, *(HeldRow(rule, None) for rule in held.kinds_and_queues)][:_MOST_ROWS]
