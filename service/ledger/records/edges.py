"""Edges from parents to children: they say what became of each parent, and stay until one of their jobs is purged."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from service.flow_tables import job_edges
from service.ledger.flow_guards import is_any
from service.ledger.guards import COUNTED_AS
from service.ledger.rows import execute, found_by, ids_parameter, is_one_of, packed, unfold_lists
from service.ledger.states import EdgeState, Outcome, RunWhen, State
from service.ledger.traits import Trait
from service.tables import attempts, jobs

_ROWS_IN_A_STATEMENT = 5_000


class Edge(NamedTuple):
    """A row of `job_edges`."""

    parent: str
    child: str
    run_when: RunWhen
    state: EdgeState
    position: int = 0


class Parent(NamedTuple):
    """A job with children, as it is now; see `states.edge_state`."""

    id: str
    kind: str
    state: State
    has_attempted: bool


def lock_parents(connection: Connection, ids: Iterable[str]) -> dict[str, Parent]:
    """Read and lock jobs, in the order of their ids, until the transaction ends."""
    dialect = connection.dialect.name
    return {
        row.id: Parent(row.id, row.kind, State(row.state), bool(row.has_attempted))
        for row in connection.execute(_lock(dialect), ids_parameter(dialect, ids))
    }


def mark_parents(connection: Connection, ids: Iterable[str]) -> None:
    """Have the ends of these locked jobs followed up from now on."""
    dialect = connection.dialect.name
    connection.execute(_mark(dialect), ids_parameter(dialect, ids))


def insert_edges(connection: Connection, edges: Sequence[Edge]) -> None:
    """Insert the edges of new jobs in the order of the indexes, which halves the time for 100,000.

    They cannot exist yet, so Postgres is not asked to look for them, which takes it long.
    """
    ordered = sorted(edges)
    for start in range(0, len(ordered), _ROWS_IN_A_STATEMENT):
        # Plain tuples are written faster than named ones.
        some = packed(map(tuple, ordered[start : start + _ROWS_IN_A_STATEMENT]))
        execute(connection, _insert(connection.dialect.name), some)


def change_edges(connection: Connection, edges: Sequence[tuple[str, str, EdgeState]]) -> None:
    """Set the states of edges, by parent and child. Their parents and children are locked."""
    execute(connection, _change(connection.dialect.name), packed(edges))


def delete_edges(connection: Connection, ids: Collection[str]) -> None:
    """Delete all edges of deleted jobs."""
    for column in (job_edges.c.parent, job_edges.c.child):
        connection.execute(delete(job_edges).where(column.in_(ids)))


def still_broken(connection: Connection, children: Collection[str]) -> set[str]:
    """Return which of these jobs have a broken edge."""
    broken = select(job_edges.c.child).where(job_edges.c.child.in_(children), job_edges.c.state == "broken")
    return set(connection.execute(broken).scalars())


@cache
def _lock(dialect: str) -> Any:
    ended = select(attempts.c.number).where(
        attempts.c.job_id == jobs.c.id, attempts.c.outcome != str(Outcome.INTERRUPTED)
    )
    columns = (jobs.c.id, COUNTED_AS.label("kind"), jobs.c.state, is_any(ended).label("has_attempted"))
    found = select(*columns).where(is_one_of(dialect, jobs.c.id)).order_by(jobs.c.id)
    return found.with_for_update(key_share=True)


@cache
def _mark(dialect: str) -> Any:
    unmarked = jobs.c.traits.bitwise_and(Trait.CHILDREN.value) == 0
    marked = jobs.c.traits.bitwise_or(Trait.CHILDREN.value)
    return update(jobs).where(is_one_of(dialect, jobs.c.id), unmarked).values(traits=marked)


_COLUMNS = {name: job_edges.c[name].type for name in Edge._fields}


@cache
def _insert(dialect: str) -> Any:
    new = unfold_lists(dialect, "new", _COLUMNS)
    return insert(job_edges).from_select(list(_COLUMNS), select(new))


@cache
def _change(dialect: str) -> Any:
    changed = unfold_lists(dialect, "changed", {name: _COLUMNS[name] for name in ("parent", "child", "state")})
    is_it = found_by(dialect, job_edges.c.parent, changed.c.parent, (job_edges.c.child, changed.c.child))
    return update(job_edges).where(is_it).values(state=changed.c.state)
