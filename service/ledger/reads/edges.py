"""What edges say about a job, and whether any of them is still open."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, exists, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import followups, job_edges
from service.ledger.flow_guards import is_any, is_open
from service.ledger.guards import COUNTED_AS, found_by_state, unindexed
from service.ledger.states import LIVE, State
from service.tables import jobs

_MOST_BLOCKED = 2_000


# (created_at, id) of a blocked job.
Place = tuple[datetime, str]
FIRST_PLACE: Place = (datetime.min.replace(tzinfo=UTC), "")


def blocked_for_nothing(late: datetime, beyond: Place | None = None) -> Select[Any]:
    """Find, among the jobs blocked the longest, the ones that nothing will release any more."""
    blocked = _page_of_blocked(late, beyond).limit(_MOST_BLOCKED).subquery("blocked")
    parents = jobs.alias("parents")
    is_live = unindexed(parents.c.state).in_([str(state) for state in LIVE])
    is_left = is_any(select(followups.c.job_id).where(followups.c.job_id == parents.c.id))
    awaited = (
        select(literal(1))
        .join_from(job_edges, parents, parents.c.id == job_edges.c.parent)
        .where(job_edges.c.child == blocked.c.id, is_open(), is_live | is_left)
        .limit(1)
        .scalar_subquery()
    )
    return select(blocked.c.id).where(awaited.is_(None))


def _page_of_blocked(late: datetime, beyond: Place | None) -> Select[Any]:
    page = select(jobs.c.created_at, jobs.c.id).where(found_by_state(State.BLOCKED), jobs.c.created_at < late)
    if beyond is not None:
        at, job_id = beyond
        page = page.where(
            jobs.c.created_at >= at, (jobs.c.created_at > at) | ((jobs.c.created_at == at) & (jobs.c.id > job_id))
        )
    return page.order_by(jobs.c.created_at, jobs.c.id)


async def unfollowed_parents(
    connection: AsyncConnection, late: datetime, beyond: Place, limit: int
) -> tuple[Sequence[str], Place]:
    """Return up to `limit` ended jobs that jobs blocked since before `late` still wait for.

    Looks at one page of the blocked jobs, and also returns where the next page begins.
    """
    stuck = blocked_for_nothing(late, beyond).subquery("stuck")
    found = select(job_edges.c.parent).where(job_edges.c.child == stuck.c.id, is_open()).limit(limit)
    last = _page_of_blocked(late, beyond).offset(_MOST_BLOCKED - 1).limit(1)
    parents = sorted(set((await connection.execute(found)).scalars()))
    row = (await connection.execute(last)).first()
    return parents, FIRST_PLACE if row is None else (row.created_at, row.id)


async def has_followups(connection: AsyncConnection) -> bool:
    """Return whether any job waits for a followup."""
    return bool((await connection.execute(select(exists(select(followups.c.job_id))))).scalar_one())


async def broken_parent(connection: AsyncConnection, job_id: str) -> tuple[str, str, str] | None:
    """Return (id, kind, state) of the first parent that keeps a job from running by how it ended."""
    of_child = (job_edges.c.child == job_id) & (job_edges.c.state == "broken")
    parent = select(jobs.c.id, COUNTED_AS.label("kind"), jobs.c.state).join_from(
        job_edges, jobs, jobs.c.id == job_edges.c.parent
    )
    row = (await connection.execute(parent.where(of_child).order_by(job_edges.c.position).limit(1))).first()
    return None if row is None else (row.id, row.kind, row.state)
