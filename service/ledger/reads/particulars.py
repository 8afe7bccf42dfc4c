"""What few attempts are given beside their row: parents' results, what the job has kept, its own retry policy."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.results import Parent
from service.flow_tables import job_edges
from service.step_tables import job_checkpoints, job_steps
from service.tables import job_listing, jobs

T = TypeVar("T")


class Retry(NamedTuple):
    """A retry policy as JSON, and when the last attempt may begin."""

    policy: str
    until: datetime | None


async def parents_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[Parent]]:
    """Return the jobs that each came after, in its own order; those past their retention are left out."""
    edge, child = job_edges.c, jobs.alias("child")
    listed = and_(job_listing.c.created_at == jobs.c.created_at, job_listing.c.job_id == jobs.c.id)
    in_its_flow = and_(listed, jobs.c.flow == child.c.flow)
    rows = await connection.execute(
        select(edge.child, edge.parent, job_listing.c.flow_name, jobs.c.result)
        .join_from(job_edges, jobs, jobs.c.id == edge.parent)
        .join(child, child.c.id == edge.child)
        .outerjoin(job_listing, in_its_flow)
        .where(edge.child.in_(ids))
        .order_by(edge.child, edge.position, edge.parent)
    )
    return _by_job(ids, ((child_id, Parent(*rest)) for child_id, *rest in rows))


async def steps_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
    """Return the name and the result, as JSON, of each step that the jobs have kept."""
    columns = (job_steps.c.job_id, job_steps.c.name, job_steps.c.result)
    rows = await connection.execute(select(*columns).where(job_steps.c.job_id.in_(ids)))
    return _by_job(ids, ((job_id, (name, result)) for job_id, name, result in rows))


async def checkpoints_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, str]:
    """Return the checkpoint, as JSON, of each job that has one."""
    columns = (job_checkpoints.c.job_id, job_checkpoints.c.value)
    rows = await connection.execute(select(*columns).where(job_checkpoints.c.job_id.in_(ids)))
    return {row.job_id: row.value for row in rows}


async def retries_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Retry]:
    """Return the retry policy of each job that has one of its own."""
    columns = (jobs.c.id, jobs.c.retry, jobs.c.retry_until)
    rows = await connection.execute(select(*columns).where(jobs.c.id.in_(ids), jobs.c.retry.is_not(None)))
    return {job_id: Retry(policy, until) for job_id, policy, until in rows}


def _by_job(ids: Sequence[str], pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    by_job: dict[str, list[T]] = {job_id: [] for job_id in ids}
    for job_id, one in pairs:
        by_job[job_id].append(one)
    return by_job
