"""Ticks of schedules: each recorded once, in the transaction of its job, however many workers see it come due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, String, select, true, update

from service.ledger.models import NewJob
from service.ledger.records.cancelled import Cancel, Cancelled, record_cancelled
from service.ledger.records.inserted import insert_jobs
from service.ledger.records.tallied import tally
from service.ledger.rows import found_by, insert_for, parameter, unfold
from service.ledger.states import TERMINAL
from service.schedule_tables import RUN_NOW, schedules
from service.tables import Moment, jobs, moment_text, ticks

# `last_job_id` holds up to six ids, joined by commas: jobs of earlier ticks that lived then, and the latest.
_MOST_NOTED = 6
TickOutcome = Literal["fired", "skipped", "missed"]
Overlap = Literal["allow", "skip", "replace"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A due time of a schedule, and its outcome: a fired tick has a `job`, any other a `reason`.

    `revision` is the revision of the schedule's row when this was decided. None: it had no row, because a kind's own
    schedule gets one only when it is first paused.
    """

    schedule: str
    kind: str
    due_at: datetime
    cron: str
    outcome: TickOutcome
    job: NewJob | None = None
    reason: str | None = None
    revision: int | None = None
    overlap: Overlap = "allow"

    @property
    def key(self) -> tuple[str, datetime]:
        return self.schedule, self.due_at

    def with_job(self, job: NewJob) -> "Tick":
        return replace(self, job=job)

    def skipped(self, reason: str) -> "Tick":
        return replace(self, outcome="skipped", job=None, reason=reason)


class Ticked(NamedTuple):
    """What was recorded. `deferred` are schedules that have been or are being changed: decide their ticks again."""

    recorded: tuple[Tick, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    deferred: frozenset[str] = frozenset()


def record_ticks(connection: Connection, wanted: Sequence[Tick], *, writer: str, now: datetime) -> Ticked:
    """Record ticks; ticks of one schedule must be in the order of their times. A tick that exists is left as it is."""
    held = _hold(connection, {tick.schedule for tick in wanted})
    current = [tick for tick in wanted if _revision(held.get(tick.schedule)) == tick.revision]
    deferred = frozenset(tick.schedule for tick in wanted) - {tick.schedule for tick in current}
    decided, replaced, live = _decide(connection, _not_there(connection, current), held)
    won = _insert(connection, decided)
    recorded = [tick for tick in decided if tick.key in won]
    fired = [tick.job for tick in recorded if tick.job is not None]
    if fired:
        _, created = insert_jobs(connection, fired)
        tally(connection, ((writer, job.counted_as, "enqueued") for job in created), now)
    tally(connection, ((writer, tick.kind, tick.outcome) for tick in recorded), now)
    cancelled = record_cancelled(connection, [Cancel(one, writer, now) for one in sorted(replaced)]) if replaced else ()
    _go_on(connection, current, recorded, held, live, now)
    return Ticked(tuple(recorded), tuple(one for one in cancelled if one is not None), deferred)


@cache
def recorded(dialect: str) -> Any:
    """Ask which ticks of `keys_of` exist, one by one: for a list of pairs, SQLite would walk through all ticks."""
    wanted = unfold(dialect, "wanted", {"kind": String(100), "due_at": Moment()})
    is_it = found_by(dialect, ticks.c.kind, wanted.c.kind, (ticks.c.due_at, wanted.c.due_at))
    return select(ticks.c.kind, ticks.c.due_at).select_from(wanted).join(ticks, is_it)


def keys_of(wanted: Sequence[tuple[str, datetime]]) -> dict[str, str]:
    """Return the parameter of `recorded`: (schedule, due_at) of ticks."""
    return parameter([{"kind": name, "due_at": moment_text(due_at)} for name, due_at in wanted])


def _hold(connection: Connection, names: set[str]) -> Mapping[str, Any]:
    """Lock the schedules' rows, leaving out rows that others have locked: they must not hold up the rest."""
    c = schedules.c
    rows = connection.execute(
        select(c.name, c.revision, c.last_job_id, c.since)
        .where(c.name.in_(names))
        .order_by(c.name)
        .with_for_update(skip_locked=True)
    )
    return {row.name: row for row in rows}


def _revision(row: Any) -> int | None:
    return None if row is None else int(row.revision)


def _not_there(connection: Connection, wanted: Sequence[Tick]) -> list[Tick]:
    there = connection.execute(recorded(connection.dialect.name), keys_of([tick.key for tick in wanted]))
    known = {(row.kind, row.due_at) for row in there}
    new = {tick.key: tick for tick in wanted if tick.key not in known}
    return list(new.values())


def _decide(
    connection: Connection, wanted: Sequence[Tick], held: Mapping[str, Any]
) -> tuple[list[Tick], set[str], Mapping[str, Sequence[str]]]:
    """Apply the schedules' overlap policies; return the ticks, the replaced jobs, and the jobs still live.

    Several jobs are live if a user fired a tick out of turn.
    """
    asked = {tick.schedule for tick in wanted if tick.overlap != "allow" and tick.schedule in held}
    before = _live(connection, {name: (held[name].last_job_id or "").split(",") for name in asked})
    decided, replaced = [], set[str]()
    for tick in wanted:
        if tick.job is not None and tick.schedule in before:
            previous = before[tick.schedule]
            if previous and tick.reason != RUN_NOW:
                if tick.overlap == "skip":
                    decided.append(tick.skipped(f"job {previous[0]}, of an earlier tick, had not ended"))
                    continue
                replaced.update(previous)
                previous = []
            before[tick.schedule] = [*previous, tick.job.id]
        decided.append(tick)
    return decided, replaced, before


def _live(connection: Connection, of_each: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Leave out jobs that have ended, or are gone."""
    ids = {job_id for some in of_each.values() for job_id in some if job_id}
    rows = connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(ids))) if ids else ()
    live = {row.id for row in rows if row.state not in TERMINAL}
    return {name: [job_id for job_id in some if job_id in live] for name, some in of_each.items()}


def _insert(connection: Connection, decided: Sequence[Tick]) -> set[tuple[str, datetime]]:
    if not decided:
        return set()
    rows = [
        {
            "kind": tick.schedule,
            "due_at": moment_text(tick.due_at),
            "cron": tick.cron,
            "job_id": tick.job.id if tick.job is not None else None,
            "outcome": tick.outcome,
            "reason": tick.reason,
        }
        for tick in decided
    ]
    inserted = connection.execute(_insert_ticks(connection.dialect.name), parameter(rows))
    return {(row.kind, row.due_at) for row in inserted}


def _go_on(
    connection: Connection,
    current: Sequence[Tick],
    recorded: Sequence[Tick],
    held: Mapping[str, Any],
    live: Mapping[str, Sequence[str]],
    now: datetime,
) -> None:
    """Note up to when ticks have been dealt with, even by other workers, and the job of the latest tick.

    If a policy needs them, jobs of earlier ticks that have not ended are noted before that job.
    """
    since = {tick.schedule: tick.due_at for tick in current if tick.reason != RUN_NOW and tick.schedule in held}
    latest = {
        tick.schedule: ",".join(live.get(tick.schedule, [tick.job.id])[-_MOST_NOTED:])
        for tick in recorded
        if tick.job is not None and tick.schedule in held
    }
    rows = [
        {
            "name": name,
            "since": moment_text(_later(held[name].since, since.get(name), now)),
            "last_job_id": latest.get(name, held[name].last_job_id),
        }
        for name in sorted(since.keys() | latest.keys())
    ]
    if rows:
        connection.execute(_note(connection.dialect.name), parameter(rows))


def _later(since: datetime | None, due_at: datetime | None, now: datetime) -> datetime:
    """Return the later time. A time in the future comes from a wrong clock."""
    known = [one for one in (since, due_at) if one is not None and one <= now]
    return max(known, default=now)


@cache
def _insert_ticks(dialect: str) -> Any:
    columns = {column.name: column.type for column in ticks.c}
    new = unfold(dialect, "new", columns)
    statement = insert_for(dialect)(ticks).from_select(
        list(columns), select(*(new.c[one] for one in columns)).where(true())
    )
    return statement.on_conflict_do_nothing().returning(ticks.c.kind, ticks.c.due_at)


@cache
def _note(dialect: str) -> Any:
    noted = unfold(dialect, "noted", {"name": String(100), "since": Moment(), "last_job_id": String(255)})
    return (
        update(schedules)
        .where(found_by(dialect, schedules.c.name, noted.c.name))
        .values(since=noted.c.since, last_job_id=noted.c.last_job_id)
    )
