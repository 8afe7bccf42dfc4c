"""The state of things at a glance, by reads whose cost does not grow with the queue or the history."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, func, literal, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import found_by_state
from service.ledger.states import PROMOTABLE, State
from service.tables import jobs, tallies, workers

# Counting stops here, because a larger count would cost more than it is worth.
MOST_COUNTED = 10_000
# How many of the next due jobs are looked at to find the next one in each state.
_LOOKED_AT = 1_000


class Counted(NamedTuple):
    """How many there are; with `more`, there are more than these."""

    number: int
    more: bool = False


class Deploy(NamedTuple):
    """The first worker of a version."""

    at: datetime
    version: str
    hostname: str


async def count_states(connection: AsyncConnection, states: Sequence[State]) -> Mapping[State, Counted]:
    """Count the jobs in each state, up to `MOST_COUNTED`."""
    parts = []
    for state in states:
        some = (
            select(literal(1).label("one"))
            .where(jobs.c.state == literal_column(f"'{state}'"))
            .limit(MOST_COUNTED + 1)
            .subquery()
        )
        parts.append(select(literal(str(state)).label("state"), func.count().label("count")).select_from(some))
    rows = await connection.execute(union_all(*parts))
    return {State(row[0]): Counted(min(row[1], MOST_COUNTED), row[1] > MOST_COUNTED) for row in rows}


class InQueue(NamedTuple):
    """Jobs on a queue. `oldest_at` is when its oldest waiting job came due."""

    waiting: int = 0
    running: int = 0
    oldest_at: datetime | None = None


async def count_by_queue(connection: AsyncConnection) -> Mapping[str, InQueue]:
    """Count due and running jobs by queue.

    Reads all of them, so use it only if `count_states` has shown that they are few.
    """
    oldest = func.min(jobs.c.run_at, type_=jobs.c.run_at.type)
    due = select(jobs.c.queue, func.count(), oldest).where(_is(State.QUEUED))
    running = select(jobs.c.queue, func.count()).where(found_by_state(State.RUNNING)).group_by(jobs.c.queue)
    counts = {row[0]: InQueue(row[1], 0, row[2]) for row in await connection.execute(due.group_by(jobs.c.queue))}
    for queue, count in await connection.execute(running):
        counts[queue] = counts.get(queue, InQueue())._replace(running=count)
    return counts


async def next_due(connection: AsyncConnection) -> Mapping[State, datetime]:
    """Return when the next scheduled job comes due, and when the next retrying one does.

    A state is left out if all of the next due jobs are in the other one.
    """
    first = (
        select(jobs.c.state, jobs.c.run_at)
        .where(found_by_state(*PROMOTABLE))
        .order_by(jobs.c.run_at)
        .limit(_LOOKED_AT)
        .subquery()
    )
    earliest = func.min(first.c.run_at, type_=jobs.c.run_at.type)
    rows = await connection.execute(select(first.c.state, earliest).group_by(first.c.state))
    return {State(state): at for state, at in rows}


async def was_ever_used(connection: AsyncConnection) -> bool:
    """Whether anything was ever enqueued, even if it was purged long ago."""
    return bool((await connection.execute(select(exists().where(tallies.c.event == "enqueued")))).scalar_one())


async def deploys(connection: AsyncConnection, since: datetime) -> Sequence[Deploy]:
    """Return the versions whose first worker began since then, except for the very first version."""
    first = (
        select(workers.c.version, func.min(workers.c.started_at, type_=workers.c.started_at.type).label("at"))
        .where(workers.c.version.is_not(None))
        .group_by(workers.c.version)
        .subquery()
    )
    firsts = (
        select(first.c.at, first.c.version, workers.c.hostname)
        .join(workers, (workers.c.version == first.c.version) & (workers.c.started_at == first.c.at))
        .order_by(first.c.at)
    )
    found = {row.version: Deploy(row.at, row.version, row.hostname) for row in await connection.execute(firsts)}
    return [deploy for deploy in list(found.values())[1:] if deploy.at >= since]


def _is(state: State) -> ColumnElement[bool]:
    """Ask for a state as a literal, so that Postgres knows how frequent it is: with a parameter it plans for any."""
    return jobs.c.state == literal_column(f"'{state}'")
