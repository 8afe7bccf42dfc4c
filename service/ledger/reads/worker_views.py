"""Workers as they are shown: living, silent and recently ended ones, and what they run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import COUNTED_AS, found_by_state
from service.ledger.leases import SILENT_AFTER
from service.ledger.states import State
from service.tables import jobs, workers

# For how long an orderly end is shown, and a death that nobody has dismissed.
_ENDED_SHOWN_FOR = timedelta(hours=1)
_DEATH_SHOWN_FOR = timedelta(days=1)
MOST_WORKERS = 500


class WorkerState(StrEnum):
    """`draining`: takes no new jobs. `silent`: not heard of for so long that its jobs were or will be rescued."""

    ALIVE = "alive"
    DRAINING = "draining"
    SILENT = "silent"
    ENDED = "ended"


class Lately(NamedTuple):
    """What a worker runs: how many jobs, and since when the oldest of them."""

    running: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker. The facts in its row are as of its latest heartbeat.

    `slots`, `version` and `memory_bytes` are unknown for workers of older versions. `rescued` is how many of its jobs
    others took over when it died. `is_dead`: it was declared dead, and may be forgotten.
    """

    id: str
    hostname: str
    pid: int
    state: WorkerState
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: int | None
    running: int
    oldest_running_at: datetime | None
    loop_lag_s: float
    hung_threads: int
    memory_bytes: int | None
    version: str | None
    started_at: datetime
    heartbeat_at: datetime
    drain_at: datetime | None
    ended_at: datetime | None
    is_dead: bool
    rescued: int


class RunningJob(NamedTuple):
    """A job that runs now. `timeout_s` is None if its kind's timeout applies."""

    id: str
    kind: str
    label: str
    queue: str
    attempt: int
    worker: str
    started_at: datetime
    timeout_s: float | None
    progress_done: int | None
    progress_total: int | None


async def list_workers(connection: AsyncConnection, now: datetime) -> list[WorkerView]:
    """Return the workers to show: silent ones first, then living ones, each by id; then ended ones, latest first."""
    shown = or_(
        workers.c.ended_at.is_(None),
        workers.c.ended_at >= now - _ENDED_SHOWN_FOR,
        (workers.c.declared_dead == 1) & (workers.c.ended_at >= now - _DEATH_SHOWN_FOR),
    )
    chosen = select(workers).where(shown, workers.c.forgotten_at.is_(None)).order_by(workers.c.started_at.desc())
    rows = (await connection.execute(chosen.limit(MOST_WORKERS))).mappings().all()
    running = await _running_by_worker(connection) if rows else {}
    views = [_view(row, running.get(row["id"], Lately()), now) for row in rows]
    return sorted(views, key=_place)


async def find_worker(connection: AsyncConnection, worker_id: str, now: datetime) -> WorkerView | None:
    """Return a worker, even if the list does not show it."""
    row = (await connection.execute(select(workers).where(workers.c.id == worker_id))).mappings().first()
    if row is None:
        return None
    counted = select(func.count(), func.min(jobs.c.started_at)).where(
        found_by_state(State.RUNNING), jobs.c.worker == worker_id
    )
    return _view(row, Lately(*(await connection.execute(counted)).one()), now)


async def running_jobs(
    connection: AsyncConnection, *, worker: str | None = None, limit: int = 100
) -> Sequence[RunningJob]:
    """Return the running jobs of all workers or of one, longest running first."""
    statement: Select[Any] = select(
        jobs.c.id,
        jobs.c.kind,
        COUNTED_AS.label("label"),
        jobs.c.queue,
        jobs.c.attempt,
        jobs.c.worker,
        jobs.c.started_at,
        jobs.c.timeout_s,
        jobs.c.progress_done,
        jobs.c.progress_total,
    ).where(found_by_state(State.RUNNING))
    if worker is not None:
        statement = statement.where(jobs.c.worker == worker)
    rows = await connection.execute(statement.order_by(jobs.c.started_at, jobs.c.id).limit(limit))
    return [RunningJob(*row) for row in rows]


_ORDER = (WorkerState.SILENT, WorkerState.DRAINING, WorkerState.ALIVE, WorkerState.ENDED)


def _place(one: WorkerView) -> tuple[int, float, str]:
    ended_ago = -one.ended_at.timestamp() if one.state is WorkerState.ENDED and one.ended_at is not None else 0.0
    return _ORDER.index(one.state), ended_ago, one.id


async def _running_by_worker(connection: AsyncConnection) -> dict[str, Lately]:
    counted = select(jobs.c.worker, func.count(), func.min(jobs.c.started_at))
    rows = await connection.execute(counted.where(found_by_state(State.RUNNING)).group_by(jobs.c.worker))
    return {worker: Lately(count, oldest_at) for worker, count, oldest_at in rows}


def _view(row: RowMapping, of_it: Lately, now: datetime) -> WorkerView:
    return WorkerView(
        id=row["id"],
        hostname=row["hostname"],
        pid=row["pid"],
        state=_state(row, now),
        queues=tuple(row["queues"].split(",")),
        kinds=tuple(json.loads(row["kinds"])),
        slots=row["slots"],
        running=of_it.running,
        oldest_running_at=of_it.oldest_at,
        loop_lag_s=row["loop_lag_s"],
        hung_threads=row["hung_threads"],
        memory_bytes=row["memory_bytes"],
        version=row["version"],
        started_at=row["started_at"],
        heartbeat_at=row["heartbeat_at"],
        drain_at=row["drain_at"],
        ended_at=row["ended_at"],
        is_dead=row["declared_dead"] == 1,
        rescued=row["rescued"],
    )


def _state(row: RowMapping, now: datetime) -> WorkerState:
    if row["declared_dead"] == 1:
        return WorkerState.SILENT
    if row["ended_at"] is not None:
        return WorkerState.ENDED
    if row["heartbeat_at"] < now - SILENT_AFTER:
        return WorkerState.SILENT
    return WorkerState.ALIVE if row["drain_at"] is None else WorkerState.DRAINING
