"""Edges are decided: children are released, cancelled, or taken back to wait once more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, String, Text, case, literal_column, null, select, text, update
from sqlalchemy.types import TypeEngine

from service.lane_rules import counted_as
from service.ledger.models import Ended, Released
from service.ledger.records.edges import Edge, Parent, change_edges, still_broken
from service.ledger.records.met import let_pass, make_ready
from service.ledger.records.undecided import Child, undecided
from service.ledger.rows import execute, found_by, packed, unfold_lists
from service.ledger.states import PARENT_FAILED, WAITING, State, edge_state
from service.ledger.traits import Trait
from service.tables import LIVE_SQL, Moment, jobs, moment_text

# At most this many edges change in one transaction: a job's own end must not wait for tens of thousands of others.
MOST_EDGES = 1_000
# At most this many further levels are decided in one transaction: each takes three statements, and other writers wait.
MOST_LEVELS = 50
_RETRY, _CHILDREN = Trait.RETRY.value, Trait.CHILDREN.value


@dataclass(slots=True)
class Decided:
    """What was decided. The parents in `left` may have more edges to change than one transaction should.

    `deeper` are the cancelled jobs whose own edges were decided as well.
    """

    released: list[Released] = field(default_factory=list)
    cancelled: list[Ended] = field(default_factory=list)
    taken_back: list[Ended] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    deeper: set[str] = field(default_factory=set)
    edges: int = 0


class _Change(NamedTuple):
    """What a child becomes."""

    id: str
    state: State
    blocked_by: int
    run_at: datetime
    finished_at: datetime | None = None
    error_type: str | None = None
    error_message: str | None = None
    was_over: bool = False


def decide(connection: Connection, parents: Sequence[Parent], at: datetime, *, waits: bool = True) -> Decided:
    """Decide up to `MOST_EDGES` edges of the locked `parents`, and what follows for their children.

    Unless it `waits`, parents whose children are locked by another transaction are left for later.
    """
    if waits and all(parent.state is State.SUCCEEDED for parent in parents):
        released = let_pass(connection, parents, at, MOST_EDGES)
        if released is not None:
            return Decided(released)
    edges, children, is_left = undecided(connection, parents, MOST_EDGES + 1, waits=waits)
    decided = Decided()
    if len(edges) > MOST_EDGES:
        decided.left = {parent.id for parent in parents}
        edges = edges[:MOST_EDGES]
        in_turn = {edge.child for edge in edges}
        children = {job_id: child for job_id, child in children.items() if job_id in in_turn}
    if not waits:
        decided.left |= {edge.parent for edge in edges if edge.child not in children}
    edges = [edge for edge in edges if edge.child in children]
    if edges:
        decided.edges = len(edges)
        if not is_left:
            edges = _leave_keys(edges, children, decided)
        _decide(connection, edges, {parent.id: parent for parent in parents}, children, at, decided)
    return decided


def decide_deeper(connection: Connection, decided: Decided, at: datetime) -> None:
    """Also decide the edges of the cancelled jobs, level by level, as far as one transaction should go.

    With a commit for each level, cancelling a long chain would be limited by the disk's syncs. Two transactions whose
    levels cross must not wait for each other, so jobs that another one has locked are left for a followup.
    """
    fallen: Sequence[Ended] = decided.cancelled
    for _ in range(MOST_LEVELS):
        parents = [Parent(one.id, one.kind, one.state, one.has_attempted) for one in fallen if one.traits & _CHILDREN]
        if not parents or decided.edges >= MOST_EDGES:
            return
        level = decide(connection, parents, at, waits=False)
        decided.released += level.released
        decided.cancelled += level.cancelled
        decided.taken_back += level.taken_back
        decided.left |= level.left
        decided.deeper.update(parent.id for parent in parents)
        decided.edges += level.edges
        fallen = level.cancelled


def _leave_keys(edges: Sequence[Edge], children: dict[str, Child], decided: Decided) -> list[Edge]:
    """Leave out children that would take back a unique key: a new job may take it now, and an end must not fail."""
    fallen = {row.id for row in children.values() if row.unique_key is not None and _fell_with_a_parent(row)}
    decided.left |= {edge.parent for edge in edges if edge.child in fallen}
    for job_id in fallen:
        del children[job_id]
    return [edge for edge in edges if edge.child not in fallen]


def _decide(
    connection: Connection,
    edges: Sequence[Edge],
    parents: dict[str, Parent],
    children: dict[str, Child],
    at: datetime,
    decided: Decided,
) -> None:
    opened = dict.fromkeys(children, 0)
    breakers: dict[str, Parent] = {}
    changed = []
    for edge in edges:
        parent = parents[edge.parent]
        state = edge_state(parent.state, has_attempted=parent.has_attempted, run_when=edge.run_when)
        changed.append((edge.parent, edge.child, state))
        opened[edge.child] += (state == "open") - (edge.state == "open")
        if state == "broken":
            breakers[edge.child] = parent
    change_edges(connection, changed)
    may_go_back = _may_go_back(connection, [row for row in children.values() if _fell_with_a_parent(row)])
    changes = []
    for row in children.values():
        blocked_by = (row.blocked_by or 0) + opened[row.id]
        changes.append(change := _become(row, blocked_by, breakers.get(row.id), row.id in may_go_back, at))
        _note(decided, row, change)
    _change_children(connection, children, changes)
    retries = {one.id: one.run_at for one in changes if one.state in WAITING and children[one.id].traits & _RETRY}
    make_ready(connection, decided.released, retries)


def _fell_with_a_parent(row: Child) -> bool:
    """Whether the job was cancelled by a broken edge, not by a user."""
    return bool(row.state == State.CANCELLED and row.error_type == PARENT_FAILED)


def _become(row: Child, blocked_by: int, breaker: Parent | None, may_go_back: bool, at: datetime) -> _Change:
    """Return what a child becomes after its edges have changed."""
    state, run_at = row.state, row.run_at
    if state is State.BLOCKED and breaker is not None:
        return _Change(row.id, State.CANCELLED, blocked_by, run_at, at, PARENT_FAILED, reason_of(breaker))
    if may_go_back or (state is State.BLOCKED and not blocked_by):
        waits = State.BLOCKED if blocked_by else State.SCHEDULED if run_at > at else State.QUEUED
        return _Change(row.id, waits, blocked_by, run_at if blocked_by else max(run_at, at), was_over=may_go_back)
    return _Change(row.id, state, blocked_by, run_at)


def reason_of(breaker: Parent) -> str:
    """Say why the end of a parent cancels a job."""
    how = "failed" if breaker.state is State.FAILED else "was cancelled"
    return f"Job {breaker.id} ({breaker.kind}) {how}, and this one needs it."


def _note(decided: Decided, row: Child, change: _Change) -> None:
    if change.state == row.state:
        return
    if change.state is State.CANCELLED:
        decided.cancelled.append(Ended(row.id, counted_as(row.kind, row.lane_limits), change.state, row.traits))
        return
    if change.was_over:
        decided.taken_back.append(Ended(row.id, row.kind, change.state, row.traits))
    if change.state is not State.BLOCKED:
        decided.released.append(
            Released(row.id, row.kind, row.queue, change.run_at, row.priority, row.lane, row.kind_lane, row.lane_limits)
        )


def _may_go_back(connection: Connection, fallen: Sequence[Child]) -> set[str]:
    """Return which of the jobs cancelled with a parent have no broken edge left, and no other job in their place."""
    if not fallen:
        return set()
    broken = still_broken(connection, [row.id for row in fallen])
    whole = [row for row in fallen if row.id not in broken]
    keys = {row.unique_key for row in whole if row.unique_key is not None}
    live = select(jobs.c.unique_key).where(jobs.c.unique_key.in_(keys), jobs.c.unique_key.is_not(None), text(LIVE_SQL))
    taken = set(connection.execute(live).scalars()) if keys else set()
    first = {row.unique_key: row.id for row in reversed(whole)}
    return {
        row.id
        for row in whole
        if row.unique_key is None or (row.unique_key not in taken and first[row.unique_key] == row.id)
    }


def _change_children(connection: Connection, children: dict[str, Child], changes: Sequence[_Change]) -> None:
    dialect = connection.dialect.name
    if counted := [(one.id, one.blocked_by) for one in changes if one.state == children[one.id].state]:
        execute(connection, _count(dialect), packed(counted))
    if moved := [_row(one) for one in changes if one.state != children[one.id].state]:
        execute(connection, _move(dialect), packed(moved))


def _row(change: _Change) -> tuple[Any, ...]:
    job_id, state, blocked_by, run_at, finished_at, error_type, error_message, was_over = change
    over_at = None if finished_at is None else moment_text(finished_at)
    return job_id, state, blocked_by, moment_text(run_at), over_at, error_type, error_message, int(was_over)


_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": String(255),
    "state": String(10),
    "blocked_by": Integer(),
    "run_at": Moment(),
    "finished_at": Moment(),
    "error_type": Text(),
    "error_message": Text(),
    "was_over": Integer(),
}


@cache
def _count(dialect: str) -> Any:
    child = unfold_lists(dialect, "child", {"id": String(255), "blocked_by": Integer()})
    return update(jobs).where(found_by(dialect, jobs.c.id, child.c.id)).values(blocked_by=child.c.blocked_by)


@cache
def _move(dialect: str) -> Any:
    child = unfold_lists(dialect, "child", _COLUMNS)
    values = {name: child.c[name] for name in _COLUMNS if name not in ("id", "was_over")}
    kept = case((child.c.was_over == literal_column("1"), null()), else_=jobs.c.expires_at)
    undispatched = literal_column("''", String)
    return (
        update(jobs)
        .where(found_by(dialect, jobs.c.id, child.c.id))
        .values(**values, expires_at=kept, dispatch_epoch=undispatched)
    )
