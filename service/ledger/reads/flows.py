"""Flows, what their jobs come after, and what was enqueued when jobs or flows ended."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import callback_jobs, callbacks, flows, job_edges
from service.ledger.guards import COUNTED_AS, key_taken, unindexed
from service.ledger.models import Event
from service.ledger.reads.members import Member
from service.ledger.rows import found_by
from service.ledger.states import LIVE, PARENT_FAILED, REPLAYABLE, RunWhen, State, flow_state
from service.ledger.traits import Trait
from service.tables import job_listing, jobs

# A job or a flow that was replayed often has enqueued its callbacks as often.
_MOST_CALLED = 100


class CallbackRow(NamedTuple):
    """What is enqueued for an event, as JSON, and the jobs that were enqueued for it, first to last."""

    event: Event
    template: str
    job_ids: Sequence[str]


class Relations(NamedTuple):
    """A job's relations to others: the jobs that it came after, the ones it still waits for, and its callbacks."""

    after: Sequence[str] = ()
    blocked_by: Sequence[str] = ()
    callbacks: Sequence[CallbackRow] = ()


UNRELATED = Relations()
# The traits of a job with any relations.
RELATED = Trait.PARENTS | Trait.CALLBACKS


class Parent(NamedTuple):
    """A job that another waits for."""

    id: str
    kind: str | None
    run_when: RunWhen


class FlowCounts(NamedTuple):
    """How many jobs of a flow are in each state, in the order of states, and the latest end among them."""

    states: Mapping[State, int]
    latest_end: datetime | None

    @property
    def state(self) -> State:
        return flow_state(self.states)

    @property
    def finished_at(self) -> datetime | None:
        return None if self.state is State.RUNNING else self.latest_end


class InFlow(NamedTuple):
    """A job's place in its flow."""

    id: str
    listed_at: datetime


async def relations_of(connection: AsyncConnection, rows: Sequence[RowMapping]) -> Mapping[str, Relations]:
    """Return the relations of the jobs that have any, by id; nothing is read for the others."""
    children = [row["id"] for row in rows if row["traits"] & Trait.PARENTS.value]
    owners = [row["id"] for row in rows if row["traits"] & Trait.CALLBACKS.value]
    edges = await _edges(connection, children) if children else {}
    called = await callbacks_of(connection, owners) if owners else {}
    return {
        job_id: Relations(
            [parent for parent, _ in edges.get(job_id, ())],
            [parent for parent, state in edges.get(job_id, ()) if state == "open"],
            called.get(job_id, ()),
        )
        for job_id in {*children, *owners}
    }


async def _edges(connection: AsyncConnection, children: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
    """Return (parent, state) of each edge to these jobs, in the order in which each named its parents."""
    columns = (job_edges.c.child, job_edges.c.parent, job_edges.c.state)
    statement = select(*columns).where(job_edges.c.child.in_(children)).order_by(job_edges.c.position)
    found: dict[str, list[tuple[str, str]]] = {child: [] for child in children}
    for child, parent, state in await connection.execute(statement):
        found[child].append((parent, state))
    return found


async def callbacks_of(connection: AsyncConnection, owners: Sequence[str]) -> Mapping[str, list[CallbackRow]]:
    """Return the callbacks of jobs and flows."""
    kept = await connection.execute(select(callbacks).where(callbacks.c.owner.in_(owners)).order_by(callbacks.c.event))
    called = await _called(connection, owners)
    found: dict[str, list[CallbackRow]] = {owner: [] for owner in owners}
    for row in kept.all():
        found[row.owner].append(CallbackRow(row.event, row.template, called[row.owner, row.event]))
    return found


async def _called(connection: AsyncConnection, owners: Sequence[str]) -> Mapping[tuple[str, str], list[str]]:
    """Return the latest jobs of each callback, ordered by id."""
    columns = (callback_jobs.c.owner, callback_jobs.c.event, callback_jobs.c.job_id)
    newest_first = func.row_number().over(partition_by=columns[:2], order_by=callback_jobs.c.job_id.desc())
    ranked = select(*columns, newest_first.label("place")).where(callback_jobs.c.owner.in_(owners)).subquery()
    latest = select(ranked).where(ranked.c.place <= _MOST_CALLED).order_by(ranked.c.job_id)
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for owner, event, job_id, _ in await connection.execute(latest):
        found[owner, event].append(job_id)
    return found


async def open_parents(connection: AsyncConnection, children: Sequence[str]) -> Mapping[str, Parent]:
    """Return one job that each of these waits for; jobs that wait for none are left out."""
    is_open = job_edges.c.state == "open"
    one = select(job_edges.c.parent).where(job_edges.c.child == jobs.c.id, is_open).limit(1).scalar_subquery()
    found = select(jobs.c.id.label("child"), one.label("parent")).where(jobs.c.id.in_(children)).subquery()
    dialect = connection.dialect.name
    edge = found_by(dialect, job_edges.c.parent, found.c.parent, (job_edges.c.child, found.c.child))
    statement = (
        select(found.c.child, found.c.parent, COUNTED_AS.label("kind"), job_edges.c.run_when)
        .join_from(found, job_edges, edge)
        .outerjoin(jobs, found_by(dialect, jobs.c.id, found.c.parent))
    )
    return {child: Parent(*parent) for child, *parent in await connection.execute(statement)}


async def get_flow(connection: AsyncConnection, flow_id: str) -> RowMapping | None:
    return (await connection.execute(select(flows).where(flows.c.id == flow_id))).mappings().first()


async def list_flows(
    connection: AsyncConnection, after: tuple[datetime, str] | None, limit: int
) -> Sequence[RowMapping]:
    """Return flows, newest first, starting after `after`."""
    statement = select(flows).order_by(flows.c.created_at.desc(), flows.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(_before(flows.c.created_at, flows.c.id, after))
    return (await connection.execute(statement)).mappings().all()


async def counts_of(connection: AsyncConnection, flow_ids: Sequence[str]) -> Mapping[str, FlowCounts]:
    """Count the jobs of flows. Reads each of their jobs."""
    columns = (
        job_listing.c.flow,
        jobs.c.state,
        func.count(),
        func.max(jobs.c.finished_at, type_=jobs.c.finished_at.type),
    )
    statement = (
        select(*columns)
        .join_from(job_listing, jobs, _is_listed(connection))
        .where(job_listing.c.flow.in_(flow_ids))
        .group_by(job_listing.c.flow, jobs.c.state)
    )
    unsorted: dict[str, dict[State, int]] = {flow_id: {} for flow_id in flow_ids}
    ends: dict[str, list[datetime]] = {flow_id: [] for flow_id in flow_ids}
    for flow_id, state, count, end in await connection.execute(statement):
        unsorted[flow_id][State(state)] = count
        ends[flow_id] += [] if end is None else [end]
    states = {
        flow_id: {state: counts[state] for state in State if state in counts} for flow_id, counts in unsorted.items()
    }
    if without := [flow_id for flow_id in flow_ids if not states[flow_id]]:
        for flow_id, created_at in await connection.execute(_empty(without)):
            ends[flow_id] = [created_at]
    return {flow_id: FlowCounts(states[flow_id], max(ends[flow_id], default=None)) for flow_id in flow_ids}


def _empty(flow_ids: Sequence[str]) -> Select[Any]:
    """Ask when flows that never had a job were made.

    If a flow's jobs were deleted, nobody knows when the last one ended.
    """
    never_had = flows.c.traits.bitwise_and(Trait.EMPTY.value) != 0
    return select(flows.c.id, flows.c.created_at).where(flows.c.id.in_(flow_ids), never_had)


async def jobs_of_flow(
    connection: AsyncConnection, flow_id: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the jobs of a flow, parents first, starting after `after`."""
    named = (jobs.c.id, jobs.c.kind, COUNTED_AS.label("label"))
    shown = (*named, jobs.c.state, jobs.c.error_type, jobs.c.error_message)
    listed = (job_listing.c.created_at, job_listing.c.job_id)
    statement = (
        select(*shown, job_listing.c.flow_name, job_listing.c.created_at.label("listed_at"))
        .join_from(job_listing, jobs, _is_listed(connection))
        .where(job_listing.c.flow == flow_id)
        .order_by(*listed)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(_after(*listed, after))
    return (await connection.execute(statement)).mappings().all()


async def parents_in_flow(
    connection: AsyncConnection, flow_id: str, children: Sequence[str]
) -> Mapping[str, list[str]]:
    """Return what these jobs come after: names of parents in this flow, ids of others."""
    # Looked up edge by edge: for a join, Postgres reads all jobs of a larger ledger to show one page of edges.
    enqueued_at = select(jobs.c.created_at).where(jobs.c.id == job_edges.c.parent).correlate(job_edges)
    name = select(job_listing.c.flow_name).where(
        job_listing.c.created_at == enqueued_at.scalar_subquery(),
        job_listing.c.job_id == job_edges.c.parent,
        job_listing.c.flow == flow_id,
    )
    statement = (
        select(job_edges.c.child, job_edges.c.parent, name.scalar_subquery())
        .where(job_edges.c.child.in_(children))
        .order_by(job_edges.c.position)
    )
    found: dict[str, list[str]] = {child: [] for child in children}
    for child, parent, name in await connection.execute(statement):
        found[child].append(name or parent)
    return found


async def live_in_flow(
    connection: AsyncConnection, flow_id: str, before: tuple[datetime, str] | None, limit: int
) -> Sequence[InFlow]:
    """Return jobs of a flow that have not ended, last first, starting before `before`."""
    listed = (job_listing.c.created_at, job_listing.c.job_id)
    statement = (
        select(jobs.c.id, job_listing.c.created_at)
        .join_from(job_listing, jobs, _is_listed(connection))
        .where(job_listing.c.flow == flow_id, unindexed(jobs.c.state).in_(LIVE))
        .order_by(*(column.desc() for column in listed))
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(_before(*listed, before))
    return [InFlow(*row) for row in await connection.execute(statement)]


async def replayable_in_flow(
    connection: AsyncConnection, flow_id: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[Member]:
    """Return jobs of a flow that have failed or that a user has cancelled, starting after `after`."""
    listed = (job_listing.c.created_at, job_listing.c.job_id)
    columns = (*(jobs.c[name] for name in Member._fields[:-2]), key_taken(), job_listing.c.created_at)
    by_itself = func.coalesce(jobs.c.error_type, "") != PARENT_FAILED
    statement = (
        select(*columns)
        .join_from(job_listing, jobs, _is_listed(connection))
        .where(job_listing.c.flow == flow_id, unindexed(jobs.c.state).in_(REPLAYABLE), by_itself)
        .order_by(*listed)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(_after(*listed, after))
    return [Member(*row) for row in await connection.execute(statement)]


def _is_listed(connection: AsyncConnection) -> ColumnElement[bool]:
    return found_by(connection.dialect.name, jobs.c.id, job_listing.c.job_id)


# Not as row values: SQLite would compare these with text in another form than the column's.
def _after(moment: Column[Any], row_id: Column[str], place: tuple[datetime, str]) -> ColumnElement[bool]:
    at, last = place
    return (moment >= at) & ((moment > at) | ((moment == at) & (row_id > last)))


def _before(moment: Column[Any], row_id: Column[str], place: tuple[datetime, str]) -> ColumnElement[bool]:
    at, last = place
    return (moment <= at) & ((moment < at) | ((moment == at) & (row_id < last)))
