"""What only few attempts are given beside their row: parents' results, what the job has kept, its own retry policy."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json
from sqlalchemy import Connection, FromClause, Select, String, case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.results import Parent
from service.flow_tables import job_edges
from service.ledger.rows import json_rows, look_up, packed, unfold_lists
from service.step_tables import job_checkpoints, job_steps
from service.tables import job_listing, jobs

T = TypeVar("T")

# No more than this comes with a start: its transaction stays short, and a thousand prefetched attempts stay small.
_FEW_PARENTS = 2_000
_SHORT_RESULT = 1_024


class Retry(NamedTuple):
    """A retry policy as JSON, and when the last attempt may begin."""

    policy: str
    until: datetime | None


async def parents_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[Parent]]:
    """Return the parents of each job, in the order in which it named them, except those past their retention."""
    dialect = connection.dialect.name
    return _in_order(ids, (await connection.execute(_parents(dialect), _asked(ids))).all())


def few_parents_of(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Parent]]:
    """Return the same at the start of these jobs, if it is little (see `few_of`)."""
    dialect = connection.dialect.name
    found = connection.execute(_few_parents(dialect), _asked(ids))
    return few_of(ids, from_json(found.scalar_one()) if dialect == "sqlite" else found.all())


def few_of(ids: Sequence[str], rows: Sequence[Any]) -> Mapping[str, list[Parent]]:
    """Return the parents of jobs with few parents, from rows of `select_few_parents`.

    Jobs whose parents have a long result are left out; if there are too many parents in all, every job is left out.
    """
    if len(rows) > _FEW_PARENTS:
        return {}
    asked = set(ids) - {row[0] for row in rows if (row[-1] or 0) > _SHORT_RESULT}
    return _in_order([one for one in ids if one in asked], [row for row in rows if row[0] in asked])


def _asked(ids: Sequence[str]) -> dict[str, str]:
    return {"rows": packed((one,) for one in ids)}


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


def _in_order(ids: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Parent]]:
    ordered = sorted(rows, key=_order)
    return _by_job(ids, ((child, Parent(parent, name, result)) for child, _, parent, name, result, *_ in ordered))


_order = itemgetter(1, 2)


@cache
def _parents(dialect: str) -> Select[Any]:
    return _select_parents(dialect, _unfold_asked(dialect))


def _unfold_asked(dialect: str) -> FromClause:
    """Unfold ids in a way that Postgres plans for the same number of them each time.

    For an array it saw how few there are, and made a new plan for each start, which took longer than the rest.
    """
    return unfold_lists(dialect, "asked", {"id": String(255)})


def _select_parents(dialect: str, asked: FromClause) -> Select[Any]:
    """Read, for each parent: its child, its place among the child's parents, its id, its name there, and its result."""
    of_edge = (job_edges.c.child, job_edges.c.position, job_edges.c.parent)
    of_parent = (jobs.c.created_at, jobs.c.flow, jobs.c.result)
    edge, edges = look_up(dialect, "edge", of_edge, {job_edges.c.child: asked.c.id})
    parent, parents = look_up(dialect, "parent", of_parent, {jobs.c.id: edge.c.parent})
    child, children = look_up(dialect, "child", (jobs.c.flow,), {jobs.c.id: edge.c.child})
    listed = {job_listing.c.created_at: parent.c.created_at, job_listing.c.job_id: edge.c.parent}
    listing, listings = look_up(dialect, "listing", (job_listing.c.flow_name,), listed)
    return (
        select(edge.c.child, edge.c.position, edge.c.parent, listing.c.flow_name, parent.c.result)
        .join_from(asked, edge, edges)
        .join(parent, parents)
        .join(child, children)
        .outerjoin(listing, listings & (parent.c.flow == child.c.flow))
    )


def select_few_parents(dialect: str, asked: FromClause) -> Select[Any]:
    """Read the same, up to one more than the limit, which shows an excess; and the length of each result.

    `asked` has the ids of the children.
    """
    parents = _select_parents(dialect, asked)
    *columns, result = parents.selected_columns
    length = func.length(result)
    short = case((length <= _SHORT_RESULT, result)).label("result")
    few = parents.with_only_columns(*columns, short, length.label("length"))
    return few.limit(literal_column(str(_FEW_PARENTS + 1)))


@cache
def _few_parents(dialect: str) -> Select[Any]:
    """Make a statement of it. SQLite returns one JSON text, for the reason given in `started._take_in_sqlite`."""
    few = select_few_parents(dialect, _unfold_asked(dialect))
    return few if dialect != "sqlite" else select(json_rows(dialect, few.subquery("few").c))
