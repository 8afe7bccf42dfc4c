"""The facts behind the words about troubles: small, bounded reads of what is wrong."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.figure_tables import failure_counts, failure_groups
from service.ledger.guards import found_by_state, is_silent, unindexed
from service.ledger.records.failed import minute_of
from service.ledger.states import IN_TURN, WAITING, State
from service.tables import jobs, ticks, workers

# A group's recent failures are compared with the hour before.
LATELY = timedelta(minutes=10)
_HOUR = timedelta(hours=1)
MOST_COUNTED = 50_000
_FAILING_LOOKED_AT = timedelta(hours=3)
# After a destination has answered for this long, a failure begins a new series.
_LONGEST_QUIET = timedelta(minutes=15)
# A group is growing if it fails at least this often, and this many times as often as before.
_LEAST_GROWTH, _GROWS_TIMES = 10, 3
_MOST_TICKS = 100
MOST_LOST = 20


class Backlog(NamedTuple):
    """How many jobs wait, up to `MOST_COUNTED`, and since when the oldest has been due."""

    waiting: int
    oldest_at: datetime | None


class Failing(NamedTuple):
    """How jobs to a destination failed: since when without a break, in which kinds, and mostly in which group."""

    since: datetime | None = None
    failures: int = 0
    jobs_failed: int = 0
    fingerprint: str | None = None
    kinds: frozenset[str] = frozenset()


class LostWorker(NamedTuple):
    """A worker that is silent, or was declared dead within the last hour."""

    worker_id: str
    heard_at: datetime
    is_declared: bool


class OddTick(NamedTuple):
    """The latest tick of a schedule that was skipped or missed."""

    schedule: str
    due_at: datetime
    outcome: str
    reason: str


async def backlog_of(connection: AsyncConnection, lane: str) -> Backlog:
    """Scan a lane's index, up to `MOST_COUNTED` entries."""
    waiting, oldest = 0, []
    for column in (jobs.c.lane, jobs.c.kind_lane):
        lives = (column == lane, column.is_not(None), found_by_state(*IN_TURN))
        some = select(jobs.c.state, jobs.c.run_at).where(*lives).order_by(jobs.c.lane_seq).limit(MOST_COUNTED)
        some_jobs = some.subquery()
        counted = select(func.count(), func.min(some_jobs.c.run_at, type_=jobs.c.run_at.type))
        count, first = (await connection.execute(counted.where(some_jobs.c.state != State.RUNNING))).one()
        waiting += count
        oldest += [] if first is None else [first]
    return Backlog(min(waiting, MOST_COUNTED), min(oldest, default=None))


async def backlog(connection: AsyncConnection, now: datetime) -> Backlog:
    """Scan the jobs on the queue, and the due ones that are not, each up to `MOST_COUNTED`."""
    waiting, oldest, epoch = 0, [], jobs.c.dispatch_epoch
    for part in (epoch > "", (epoch == "") & (jobs.c.run_at <= now)):
        some = select(jobs.c.run_at).where(found_by_state(*WAITING), part).limit(MOST_COUNTED).subquery()
        counted = select(func.count(), func.min(some.c.run_at, type_=jobs.c.run_at.type))
        count, first = (await connection.execute(counted)).one()
        waiting += count
        oldest += [] if first is None else [first]
    return Backlog(min(waiting, MOST_COUNTED), min(oldest, default=None))


async def failing_towards(connection: AsyncConnection, lane: str, now: datetime) -> Failing:
    """Add up the failures of a lane's destination since it last answered for a while."""
    counts = failure_counts.c
    found = (
        select(counts.bucket_at, counts.fingerprint, counts.failures, counts.jobs_failed)
        .where(counts.bucket_at >= now - _FAILING_LOOKED_AT, counts.destination == lane)
        .order_by(counts.bucket_at.desc())
    )
    since, by_group, jobs_failed = None, dict[str, int](), 0
    for at, fingerprint, failures, failed in await connection.execute(found):
        if since is not None and since - at > _LONGEST_QUIET:
            break
        since, jobs_failed = at, jobs_failed + failed
        by_group[fingerprint] = by_group.get(fingerprint, 0) + failures
    if not by_group:
        return Failing()
    named = select(failure_groups.c.kind).where(failure_groups.c.fingerprint.in_(list(by_group)))
    kinds = frozenset((await connection.execute(named)).scalars())
    return Failing(since, sum(by_group.values()), jobs_failed, max(by_group, key=lambda one: by_group[one]), kinds)


async def growing_groups(connection: AsyncConnection, now: datetime) -> Sequence[tuple[str, int, int]]:
    """Return (fingerprint, failures of the last ten minutes, failures of the hour before), most failures first."""
    counts, then = failure_counts.c, minute_of(now - LATELY)
    fingerprint = unindexed(counts.fingerprint)
    lately = func.sum(case((counts.bucket_at >= then, counts.failures), else_=0))
    grouped = (
        select(fingerprint, lately, func.sum(counts.failures))
        .where(counts.bucket_at >= then - _HOUR)
        .group_by(fingerprint)
        .having(lately >= _LEAST_GROWTH)
        .order_by(lately.desc(), fingerprint)
    )
    found = [(name, int(late), int(total - late)) for name, late, total in await connection.execute(grouped)]
    return [one for one in found if one[1] > _GROWS_TIMES * one[2] / (_HOUR / LATELY)]


async def odd_ticks(connection: AsyncConnection, since: datetime, now: datetime, *, wanted: str) -> Sequence[OddTick]:
    """Return each schedule's latest tick since then that was not fired, newest first.

    Ticks whose reason begins with `wanted` are left out: a schedule that has long been paused has many of them.
    """
    is_wanted = func.substr(func.coalesce(ticks.c.reason, ""), 1, len(wanted)) == wanted
    found = (
        select(ticks.c.kind, ticks.c.due_at, ticks.c.outcome, ticks.c.reason)
        .where(ticks.c.due_at > since, ticks.c.due_at <= now, ticks.c.outcome != "fired", ~is_wanted)
        .order_by(ticks.c.due_at.desc())
        .limit(_MOST_TICKS)
    )
    latest: dict[str, OddTick] = {}
    for kind, due_at, outcome, reason in await connection.execute(found):
        latest.setdefault(kind, OddTick(kind, due_at, outcome, reason or ""))
    return list(latest.values())


async def lost_workers(connection: AsyncConnection, now: datetime) -> Sequence[LostWorker]:
    """Return the workers that are silent, or were declared dead within the last hour, latest first."""
    declared = (workers.c.ended_at > now - _HOUR) & (workers.c.declared_dead == 1)
    found = (
        select(workers.c.id, workers.c.heartbeat_at, workers.c.declared_dead)
        .where(declared | is_silent(now))
        .order_by(workers.c.heartbeat_at.desc())
        .limit(MOST_LOST)
    )
    return [LostWorker(one, heard_at, bool(dead)) for one, heard_at, dead in await connection.execute(found)]
