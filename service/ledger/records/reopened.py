"""Jobs that are replayed together: edges between them that broke when they ended are opened again."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, func, select, update

from service.flow_tables import job_edges
from service.ledger.flow_guards import is_open
from service.ledger.records.edges import Edge, Parent, change_edges, lock_parents
from service.ledger.states import REPLAYABLE, State, edge_state
from service.tables import jobs


def reopen(connection: Connection, children: Collection[str]) -> set[str]:
    """Decide again broken edges to jobs that are about to be replayed, by what their parents are or are about to be.

    Return the jobs that still need a failed job that is not replayed with them: their edges stay as they are.
    """
    broken = _broken(connection, children)
    if not broken:
        return set()
    parents = lock_parents(connection, {edge.parent for edge in broken})
    fallen = _fallen(broken, parents, children)
    changed = [_changed(edge, parents[edge.parent]) for edge in broken if edge.child not in fallen]
    change_edges(connection, [(edge.parent, edge.child, edge.state) for edge in changed])
    _count_open(connection, {edge.child for edge in changed})
    return fallen


def broken_parents(connection: Connection, children: Collection[str]) -> set[str]:
    """Return the parents of broken edges to these jobs."""
    broken = select(job_edges.c.parent).where(job_edges.c.child.in_(children), job_edges.c.state == "broken")
    return set(connection.execute(broken).scalars())


def _broken(connection: Connection, children: Collection[str]) -> list[Edge]:
    columns = [job_edges.c[name] for name in Edge._fields]
    broken = select(*columns).where(job_edges.c.child.in_(children), job_edges.c.state == "broken")
    return [Edge(*row) for row in connection.execute(broken)]


def _fallen(broken: Sequence[Edge], parents: Mapping[str, Parent], children: Collection[str]) -> set[str]:
    """Return the children that need a failed job: one that is not replayed, or that fell with its own parent."""
    children_of: dict[str, list[str]] = {}
    for edge in broken:
        children_of.setdefault(edge.parent, []).append(edge.child)
    gone = [one for one in children_of if one not in children and _is_over(parents.get(one))]
    fallen: set[str] = set()
    while gone:
        new = set(children_of.get(gone.pop(), ())) - fallen
        fallen |= new
        gone += new
    return fallen


def _is_over(parent: Parent | None) -> bool:
    return parent is None or parent.state in REPLAYABLE


def _changed(edge: Edge, parent: Parent) -> Edge:
    state = State.QUEUED if parent.state in REPLAYABLE else parent.state
    return edge._replace(state=edge_state(state, has_attempted=parent.has_attempted, run_when=edge.run_when))


def _count_open(connection: Connection, children: Collection[str]) -> None:
    count = select(func.count()).where(job_edges.c.child == jobs.c.id, is_open()).scalar_subquery()
    connection.execute(update(jobs).where(jobs.c.id.in_(sorted(children))).values(blocked_by=count))
