"""How many jobs there are and were: by state, by kind, and how many really run."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import found_by_state
from service.ledger.reads.workers import living_workers
from service.ledger.states import WAITING, State
from service.tables import jobs, tallies, workers


async def tally_totals(connection: AsyncConnection) -> Sequence[tuple[str, str, int]]:
    """Return (kind, event, count), added up over all processes there ever were."""
    total = func.sum(tallies.c["count"])
    statement = select(tallies.c.kind, tallies.c.event, total).group_by(tallies.c.kind, tallies.c.event)
    return [(kind, event, int(count)) for kind, event, count in await connection.execute(statement)]


async def count_live(connection: AsyncConnection) -> Mapping[str, int]:
    """Count the jobs that really run, and the waiting ones.

    A dead worker's jobs count as waiting: they will be rescued.
    """
    waiting = select(func.count()).select_from(jobs).where(found_by_state(*WAITING))
    held = await count_held(connection)
    return {"running": held.running, "waiting": (await connection.execute(waiting)).scalar_one() + held.orphaned}


class Held(NamedTuple):
    """Jobs that the ledger calls running: in a slot, prefetched, or left by a worker that is gone."""

    running: int
    prefetched: int
    orphaned: int


async def count_held(connection: AsyncConnection) -> Held:
    """Count by the slots of workers: jobs that a worker has started beyond its slots do not run yet."""
    held = (
        select(jobs.c.worker, func.count().label("held"))
        .where(found_by_state(State.RUNNING))
        .group_by(jobs.c.worker)
        .subquery()
    )
    is_living = and_(workers.c.id.is_not(None), workers.c.ended_at.is_(None))
    by_worker = select(held.c.held, workers.c.slots, is_living).outerjoin(workers, workers.c.id == held.c.worker)
    running = prefetched = orphaned = 0
    for count, slots, living in await connection.execute(by_worker):
        in_slots = count if slots is None else min(count, slots)
        if living:
            running, prefetched = running + in_slots, prefetched + count - in_slots
        else:
            orphaned += count
    return Held(running, prefetched, orphaned)


async def count_by_state(connection: AsyncConnection) -> Mapping[str, int]:
    """Count all jobs by state; reads an index as long as the history."""
    statement = select(jobs.c.state, func.count()).group_by(jobs.c.state).order_by(jobs.c.state)
    return {row[0]: row[1] for row in await connection.execute(statement)}


async def waiting_of_unknown_kinds(connection: AsyncConnection, now: datetime) -> Sequence[tuple[str, int]]:
    """Count the waiting jobs of each kind that no living worker knows; nothing while there is no worker at all."""
    living = await living_workers(connection, now)
    if not living:
        return []
    known = {kind for worker in living for kind in json.loads(worker["kinds"])}
    statement = select(jobs.c.kind, func.count()).where(found_by_state(*WAITING), jobs.c.kind.not_in(sorted(known)))
    return [(kind, count) for kind, count in await connection.execute(statement.group_by(jobs.c.kind))]


class QueueCounts(NamedTuple):
    """Jobs of a queue. `oldest_due_at` is when its oldest due job came due."""

    waiting: int = 0
    running: int = 0
    oldest_due_at: datetime | None = None


async def count_by_queue(connection: AsyncConnection, now: datetime) -> Mapping[str, QueueCounts]:
    """Count the waiting and running jobs on each queue that has any live job."""
    due_at = func.min(case((jobs.c.run_at <= now, jobs.c.run_at)), type_=jobs.c.run_at.type)
    waiting = select(jobs.c.queue, func.count(), due_at).where(found_by_state(*WAITING)).group_by(jobs.c.queue)
    running = select(jobs.c.queue, func.count()).where(found_by_state(State.RUNNING)).group_by(jobs.c.queue)
    counts = {queue: QueueCounts(count, 0, first) for queue, count, first in await connection.execute(waiting)}
    for queue, count in await connection.execute(running):
        counts[queue] = counts.get(queue, QueueCounts())._replace(running=count)
    return counts
