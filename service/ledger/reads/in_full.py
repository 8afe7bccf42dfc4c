"""One job in full, as its page shows it: bounded, however often it was tried and however many jobs wait for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import job_edges
from service.ledger.guards import COUNTED_AS, found_by_state, state_is
from service.ledger.states import IN_TURN, WAITING, RunWhen, State
from service.tables import attempts, job_listing, jobs

_FLOW_NAME = (
    select(job_listing.c.flow_name)
    .where(job_listing.c.created_at == jobs.c.created_at, job_listing.c.job_id == jobs.c.id)
    .correlate(jobs)
    .scalar_subquery()
)
# As much of an error's message as a line has room for.
_LONGEST_LINE = 500


class Related(NamedTuple):
    """Another job, as a link to it shows it, with its name in its flow."""

    id: str
    kind: str
    state: State
    flow_name: str | None


class Child(NamedTuple):
    """A job that comes after this one, with its name in its flow."""

    id: str
    kind: str
    state: State
    flow_name: str | None
    run_when: RunWhen


async def attempts_in_short(connection: AsyncConnection, job: RowMapping, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return the latest attempts of a job, first to last, without tracebacks; a running one comes last."""
    columns = (*(attempts.c[name] for name in _SHORT), func.substr(attempts.c.error_message, 1, _LONGEST_LINE))
    latest = select(*columns).where(attempts.c.job_id == job["id"]).order_by(attempts.c.number.desc()).limit(limit)
    found = [dict(zip((*_SHORT, "error_message"), row, strict=True)) for row in await connection.execute(latest)]
    ended = found[::-1]
    is_running = job["state"] == State.RUNNING and (not ended or ended[-1]["number"] < job["attempt"])
    return [*ended, _running(job)] if is_running else ended


async def trace_context_of(connection: AsyncConnection, job_id: str) -> str | None:
    """Return the trace context in which a job was enqueued, as JSON."""
    context: str | None = await connection.scalar(select(jobs.c.trace_context).where(jobs.c.id == job_id))
    return context


_SHORT = ("number", "outcome", "worker", "started_at", "finished_at", "error_type", "fingerprint")


def _running(job: RowMapping) -> Mapping[str, Any]:
    """Make the running attempt, whose row is written only when it ends."""
    unknown = dict.fromkeys((*_SHORT, "error_message"))
    return {**unknown, "number": job["attempt"], "worker": job["worker"], "started_at": job["started_at"]}


async def attempt_in_full(connection: AsyncConnection, job_id: str, number: int) -> RowMapping | None:
    """Return an attempt that has ended."""
    found = select(attempts).where(attempts.c.job_id == job_id, attempts.c.number == number)
    return (await connection.execute(found)).mappings().first()


async def related(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Related]:
    """Return the jobs with these ids that exist."""
    if not ids:
        return {}
    found = select(jobs.c.id, COUNTED_AS, jobs.c.state, _FLOW_NAME).where(jobs.c.id.in_(ids))
    rows = await connection.execute(found)
    return {job_id: Related(job_id, kind, State(state), name) for job_id, kind, state, name in rows}


async def children_of(connection: AsyncConnection, job_id: str, limit: int) -> Sequence[Child]:
    """Return jobs that come after this one, ordered by id."""
    found = (
        select(jobs.c.id, COUNTED_AS, jobs.c.state, _FLOW_NAME, job_edges.c.run_when)
        .join_from(job_edges, jobs, jobs.c.id == job_edges.c.child)
        .where(job_edges.c.parent == job_id)
        .order_by(job_edges.c.child)
        .limit(limit)
    )
    rows = await connection.execute(found)
    return [Child(child, kind, State(state), name, when) for child, kind, state, name, when in rows]


async def count_alike(connection: AsyncConnection, fingerprint: str, limit: int) -> int:
    """Count the jobs whose latest failure is in this group, `limit` at most."""
    alike = select(literal(1)).where(jobs.c.fingerprint == fingerprint, jobs.c.fingerprint.is_not(None)).limit(limit)
    return int((await connection.execute(select(func.count()).select_from(alike.subquery()))).scalar_one())


async def count_ahead(connection: AsyncConnection, lane: str, seq: int, now: datetime, limit: int) -> int:
    """Count the due jobs that wait in a lane before the place `seq`, `limit` at most."""
    parts = [
        select(literal(1).label("one"))
        .where(column == lane, column.is_not(None), jobs.c.lane_seq < seq, found_by_state(*IN_TURN))
        .where(state_is(*WAITING), jobs.c.run_at <= now)
        .limit(limit)
        .subquery()
        for column in (jobs.c.lane, jobs.c.kind_lane)
    ]
    ahead = union_all(*map(select, parts)).subquery()
    return min(limit, int((await connection.execute(select(func.count()).select_from(ahead))).scalar_one()))


async def count_running_on(connection: AsyncConnection, queue: str) -> int:
    """Count the running jobs of a queue, which are at most as many as workers have slots."""
    running = select(func.count()).select_from(jobs).where(found_by_state(State.RUNNING), jobs.c.queue == queue)
    return int((await connection.execute(running)).scalar_one())
