"""Flows as graphs: the jobs of one flow and their edges; and pages of flows with counts of their jobs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import job_edges
from service.ledger.guards import COUNTED_AS, unindexed
from service.ledger.reads.flows import FlowCounts, counts_of, list_flows
from service.ledger.states import RunWhen, State
from service.tables import job_listing, jobs

# The jobs of each flow in a list are counted: a page ends once its flows have more jobs than this.
_MOST_COUNTED = 20_000
_COUNTED_AT_ONCE = 10


class FlowJob(NamedTuple):
    """A job of a flow as it is now. `name` is its name in the flow, None if it joined later."""

    id: str
    name: str | None
    label: str
    state: State
    attempt: int
    failures: int
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress_done: int | None
    progress_total: int | None
    error_type: str | None
    error_message: str | None
    enqueued_by: str | None
    listed_at: datetime


class Edge(NamedTuple):
    """`child` waits for `parent`, or has waited for it; `state` is open, met or broken."""

    parent: str
    child: str
    run_when: RunWhen
    state: str


class FlowPage(NamedTuple):
    flows: Sequence[tuple[RowMapping, FlowCounts]]
    has_more: bool


async def jobs_of_graph(
    connection: AsyncConnection,
    flow_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
    states: Collection[State] = (),
) -> Sequence[FlowJob]:
    """Return the jobs of a flow, parents first, starting after `after`.

    With `states`, only jobs in one of them.
    """
    of_job = ("attempt", "failures", "run_at", "started_at", "finished_at", "progress_done", "progress_total")
    ends = ("error_type", "error_message", "enqueued_by")
    columns = [jobs.c.id, job_listing.c.flow_name, COUNTED_AS, jobs.c.state, *(jobs.c[name] for name in of_job + ends)]
    at, listed_id = job_listing.c.created_at, job_listing.c.job_id
    statement = (
        select(*columns, at)
        .join_from(job_listing, jobs, jobs.c.id == listed_id)
        .where(job_listing.c.flow == flow_id)
        .order_by(at, listed_id)
        .limit(limit)
    )
    if states:
        statement = statement.where(unindexed(jobs.c.state).in_(states))
    if after is not None:
        moment, last = after
        statement = statement.where(at >= moment, (at > moment) | ((at == moment) & (listed_id > last)))
    rows = await connection.execute(statement)
    return [FlowJob(job_id, name, label, State(state), *rest) for job_id, name, label, state, *rest in rows]


async def edges_to(connection: AsyncConnection, children: Sequence[str]) -> Sequence[Edge]:
    """Return the edges to these jobs, in the order in which each job named its parents."""
    columns = (job_edges.c.parent, job_edges.c.child, job_edges.c.run_when, job_edges.c.state)
    statement = select(*columns).where(job_edges.c.child.in_(children)).order_by(job_edges.c.position)
    return [Edge(*row) for row in await connection.execute(statement)]


async def page_of_flows(connection: AsyncConnection, after: tuple[datetime, str] | None, limit: int) -> FlowPage:
    """Return up to `limit` flows, newest first, starting after `after`; fewer if they are large."""
    rows = await list_flows(connection, after, limit + 1)
    shown: list[tuple[RowMapping, FlowCounts]] = []
    counted = 0
    for start in range(0, min(len(rows), limit), _COUNTED_AT_ONCE):
        some = rows[start : min(start + _COUNTED_AT_ONCE, limit)]
        counts = await counts_of(connection, [row["id"] for row in some])
        shown += [(row, counts[row["id"]]) for row in some]
        counted += sum(sum(one.states.values()) for one in counts.values())
        if counted > _MOST_COUNTED:
            break
    return FlowPage(shown, len(rows) > len(shown))
