"""How many jobs wait and run where, counted as far as that is cheap."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import found_by_state
from service.ledger.reads.counts import count_held
from service.ledger.reads.workers import living_workers
from service.ledger.states import WAITING, State
from service.tables import jobs

# Counting stops here: a level of this height means "this many or more".
MOST_COUNTED = 200_000


class QueueLevel(NamedTuple):
    """`oldest_at` is when the oldest waiting job came due, `oldest_laneless_at` the oldest one that no lane holds."""

    waiting: int = 0
    running: int = 0
    oldest_at: datetime | None = None
    oldest_laneless_at: datetime | None = None


class Standing(NamedTuple):
    """How many jobs are in each state, and how many can run at once. `orphaned` jobs run in no living worker.

    Draining workers do not count. `unknown_kinds` has the waiting jobs of each kind that no other living worker knows;
    it is empty while there is no such worker.
    """

    waiting: int
    scheduled: int
    retrying: int
    blocked: int
    running: int
    orphaned: int
    slots: int
    loop_lag_s: float
    queues: Mapping[str, QueueLevel]
    unknown_kinds: Mapping[str, int]

    @property
    def oldest_at(self) -> datetime | None:
        return min((one.oldest_at for one in self.queues.values() if one.oldest_at is not None), default=None)


async def standing(connection: AsyncConnection, now: datetime) -> Standing:
    """Count the live jobs, each sort up to `MOST_COUNTED`."""
    by_state, by_kind, queues = dict[str, int](), dict[str, int](), dict[str, QueueLevel]()
    for row in await connection.execute(_waiting()):
        by_state[row.state] = by_state.get(row.state, 0) + row.jobs
        if row.state == State.QUEUED:
            queues[row.queue] = _joined(queues.get(row.queue, QueueLevel()), row)
            by_kind[row.kind] = by_kind.get(row.kind, 0) + row.jobs
    runs = select(jobs.c.queue, func.count()).where(found_by_state(State.RUNNING)).group_by(jobs.c.queue)
    for queue, count in await connection.execute(runs):
        queues[queue] = queues.get(queue, QueueLevel())._replace(running=count)
    blocked = select(func.count()).select_from(_some(found_by_state(State.BLOCKED)).subquery())
    held, living = await count_held(connection), await living_workers(connection, now)
    taking = [worker for worker in living if worker["drain_at"] is None]
    known = {kind for worker in taking for kind in json.loads(worker["kinds"])}
    return Standing(
        waiting=by_state.get(State.QUEUED, 0),
        scheduled=by_state.get(State.SCHEDULED, 0),
        retrying=by_state.get(State.RETRYING, 0),
        blocked=(await connection.execute(blocked)).scalar_one(),
        running=held.running,
        orphaned=held.orphaned,
        slots=sum(worker["slots"] or 0 for worker in taking),
        loop_lag_s=max((worker["loop_lag_s"] for worker in living), default=0.0),
        queues=queues,
        unknown_kinds={kind: count for kind, count in by_kind.items() if taking and kind not in known},
    )


def _waiting() -> Select[Any]:
    """Count the waiting jobs by everything that levels tell apart, in one scan of the index."""
    some = _some(found_by_state(*WAITING)).subquery()
    is_laneless = case((some.c.lane_seq.is_(None), 1), else_=0).label("is_laneless")
    parts = (some.c.queue, some.c.state, some.c.kind, is_laneless)
    oldest = func.min(some.c.run_at, type_=some.c.run_at.type).label("oldest_at")
    return select(*parts, func.count().label("jobs"), oldest).group_by(*parts)


def _joined(queue: QueueLevel, row: Any) -> QueueLevel:
    oldest = min(filter(None, (queue.oldest_at, row.oldest_at)))
    laneless = min(filter(None, (queue.oldest_laneless_at, row.oldest_at if row.is_laneless else None)), default=None)
    return QueueLevel(queue.waiting + row.jobs, queue.running, oldest, laneless)


def _some(condition: ColumnElement[bool]) -> Select[Any]:
    columns = (jobs.c.queue, jobs.c.state, jobs.c.kind, jobs.c.run_at, jobs.c.lane_seq)
    return select(*columns).where(condition).limit(MOST_COUNTED)
