"""All reads of jobs but lists: see `listing`."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, and_, cast, func, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.liveness import SILENT_AFTER
from service.ledger.records.guards import found_by_state, state_is
from service.ledger.states import WAITING, State
from service.tables import attempts, jobs, tallies, workers

# Never read for answers: it carries secrets.
SHOWN = [column for column in jobs.c if column.name != "sealed_args"]


class JobVersion(NamedTuple):
    """What tells that a job has changed."""

    state: State
    attempt: int
    run_at: datetime
    finished_at: datetime | None
    progress_done: int | None
    progress_total: int | None


async def get_job(connection: AsyncConnection, job_id: str) -> RowMapping | None:
    return (await connection.execute(select(*SHOWN).where(jobs.c.id == job_id))).mappings().first()


async def get_jobs(connection: AsyncConnection, ids: Sequence[str]) -> Sequence[RowMapping]:
    """Return those of the jobs that there are."""
    return (await connection.execute(select(*SHOWN).where(jobs.c.id.in_(ids)))).mappings().all()


async def get_attempts(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[RowMapping]]:
    """Return the attempts of each job, first to last; one that runs is written in its job's row."""
    of_job = {"job_id": jobs.c.id, "number": jobs.c.attempt, "worker": jobs.c.worker, "started_at": jobs.c.started_at}
    running = select(*(of_job.get(column.name, cast(null(), column.type)).label(column.name) for column in attempts.c))
    ended = select(attempts).where(attempts.c.job_id.in_(ids))
    both = union_all(ended, running.where(jobs.c.id.in_(ids), state_is(State.RUNNING)))
    statement = both.order_by("job_id", "number")
    by_job: dict[str, list[RowMapping]] = {job_id: [] for job_id in ids}
    for row in (await connection.execute(statement)).mappings():
        by_job[row["job_id"]].append(row)
    return by_job


async def stored_args(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, str]:
    """Return the args of jobs as attempts read them, secrets in clear. Never for answers."""
    whole = func.coalesce(jobs.c.sealed_args, jobs.c.args).label("whole")
    rows = await connection.execute(select(jobs.c.id, whole).where(jobs.c.id.in_(ids)))
    return {row.id: row.whole for row in rows}


async def states_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, tuple[State, str]]:
    """Return (state, kind) of each id that has a row."""
    rows = await connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.kind).where(jobs.c.id.in_(ids)))
    return {row.id: (State(row.state), row.kind) for row in rows}


async def glimpse(connection: AsyncConnection, ids: Collection[str]) -> dict[str, JobVersion]:
    """Look at many jobs at once; returns those that there are."""
    columns = [jobs.c[name] for name in JobVersion._fields]
    rows = await connection.execute(select(jobs.c.id, *columns).where(jobs.c.id.in_(ids)))
    return {job_id: JobVersion(*rest) for job_id, *rest in rows}


async def adopted_as(
    connection: AsyncConnection, enqueued_at: Mapping[str, datetime]
) -> Mapping[str, tuple[str, State]]:
    """Find the jobs, by arq's ids, that calls of plain arq clients were recorded as: enqueued at the same times."""
    columns = (jobs.c.id, jobs.c.state, jobs.c.arq_id, jobs.c.created_at)
    rows = await connection.execute(select(*columns).where(jobs.c.arq_id.in_(enqueued_at)))
    return {row.arq_id: (row.id, State(row.state)) for row in rows if row.created_at == enqueued_at[row.arq_id]}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands, for a worker that could not start it."""

    id: str
    arq_id: str | None
    kind: str
    state: State
    run_at: datetime
    priority: int
    crashes: int
    prefetched: int


async def standings(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Standing]:
    """Say for each id on the queue how the job that it stands for stands; nothing for an id without a row.

    Where an arq client used the id of an earlier job again, that is the waiting job which was recorded for it.
    """
    statement = select(*(jobs.c[name] for name in Standing.__slots__))
    by_id = {row.id: _standing(row) for row in await connection.execute(statement.where(jobs.c.id.in_(ids)))}
    others = [job_id for job_id in ids if job_id not in by_id or by_id[job_id].state not in WAITING]
    if not others:
        return by_id
    adopted = statement.where(jobs.c.arq_id.in_(others), jobs.c.state.in_(WAITING))
    return by_id | {row.arq_id: _standing(row) for row in await connection.execute(adopted)}


def _standing(row: Any) -> Standing:
    return Standing(
        row.id, row.arq_id, row.kind, State(row.state), row.run_at, row.priority, row.crashes, row.prefetched
    )


async def cancel_wishes(connection: AsyncConnection, worker_id: str) -> set[str]:
    """Find the jobs that this worker runs and somebody wants cancelled."""
    statement = select(jobs.c.id).where(
        found_by_state(State.RUNNING), jobs.c.worker == worker_id, jobs.c.cancel_requested_at.is_not(None)
    )
    return set((await connection.execute(statement)).scalars())


async def tally_totals(connection: AsyncConnection) -> Sequence[tuple[str, str, int]]:
    """Return (kind, event, count), added up over all processes that ever were."""
    total = func.sum(tallies.c["count"])
    statement = select(tallies.c.kind, tallies.c.event, total).group_by(tallies.c.kind, tallies.c.event)
    return [(kind, event, int(count)) for kind, event, count in await connection.execute(statement)]


async def count_live(connection: AsyncConnection) -> Mapping[str, int]:
    """Count the jobs that really run, and those that wait; what a dead worker held is rescued, so it waits."""
    waiting = select(func.count()).select_from(jobs).where(found_by_state(*WAITING))
    held = await count_held(connection)
    return {"running": held.running, "waiting": (await connection.execute(waiting)).scalar_one() + held.orphaned}


class Held(NamedTuple):
    """Jobs that the ledger calls running: in a slot, started ahead of a free one, or left by a worker that is gone."""

    running: int
    prefetched: int
    orphaned: int


async def count_held(connection: AsyncConnection) -> Held:
    """Count by what workers can run at once: of what one has started beyond its slots, nothing runs yet."""
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
    """Count all jobs by their state; reads an index as long as the history."""
    statement = select(jobs.c.state, func.count()).group_by(jobs.c.state).order_by(jobs.c.state)
    return {row[0]: row[1] for row in await connection.execute(statement)}


async def living_workers(connection: AsyncConnection, now: datetime) -> Sequence[RowMapping]:
    """Return the workers whose heartbeat is fresh."""
    fresh = workers.c.ended_at.is_(None) & (workers.c.heartbeat_at >= now - SILENT_AFTER)
    return (await connection.execute(select(workers).where(fresh).order_by(workers.c.id))).mappings().all()


async def waiting_of_unknown_kinds(connection: AsyncConnection, now: datetime) -> Sequence[tuple[str, int]]:
    """Count the waiting jobs of each kind that no living worker knows; nothing while there is no worker at all."""
    living = await living_workers(connection, now)
    if not living:
        return []
    known = {kind for worker in living for kind in json.loads(worker["kinds"])}
    statement = select(jobs.c.kind, func.count()).where(found_by_state(*WAITING), jobs.c.kind.not_in(sorted(known)))
    return [(kind, count) for kind, count in await connection.execute(statement.group_by(jobs.c.kind))]
