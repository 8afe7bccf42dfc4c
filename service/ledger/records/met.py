"""Parents have succeeded, as most do: their edges are met all at once, and children that wait for nobody are released.

The database counts; what is read here of a child is what its release needs.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    String,
    Update,
    bindparam,
    case,
    func,
    literal_column,
    select,
    update,
)

from service.flow_tables import job_edges
from service.ledger.flow_guards import is_any, is_left, is_open
from service.ledger.models import Released
from service.ledger.records.edges import Parent
from service.ledger.records.lane_seqs import move_to_the_end
from service.ledger.records.own_retries import renew_retries
from service.ledger.rows import execute_with, found_by, ids_parameter, is_one_of, json_rows, packed, unfold_lists
from service.ledger.states import State
from service.ledger.traits import Trait
from service.tables import Moment, jobs

_RETRY = Trait.RETRY.value
_BLOCKED = str(State.BLOCKED)
_PARENTS = "parents"
# Of each child what a release tells, and then what decides about it.
_TOLD = (*Released._fields, "state", "traits", "blocked_by")
_RUN_AT = Released._fields.index("run_at")
_OF_RELEASE = len(Released._fields)


def let_pass(connection: Connection, parents: Sequence[Parent], at: datetime, most: int) -> list[Released] | None:
    """Let the edges of parents that have succeeded be met; return the children that are released by it.

    None, with nothing written, where edges have to be looked at one by one: there are more than `most`, some parent
    waits to be followed up, or a child is no longer blocked.
    """
    if connection.dialect.name == "sqlite":
        children = _pass_in_sqlite(connection, [parent.id for parent in parents], at, most)
    else:
        ids = ids_parameter("postgresql", [parent.id for parent in parents], _PARENTS)
        children = _passing(execute_with(connection, _read_and_write(), {**ids, "most": most, "at": at}).one())
    if children is None:
        return None
    released: list[Released] = []
    retries: dict[str, datetime] = {}
    for *own, _, traits, blocked_by, met in children:
        if blocked_by > met:
            continue
        own[_RUN_AT] = run_at = max(datetime.fromisoformat(own[_RUN_AT]), at)
        released.append(Released(*own))
        if traits & _RETRY:
            retries[own[0]] = run_at
    make_ready(connection, released, retries)
    return released


# Of each child the columns of `_TOLD`, and how many of its edges are met.
_Child = list[Any]


def _pass_in_sqlite(connection: Connection, parents: Sequence[str], at: datetime, most: int) -> list[_Child] | None:
    ids = ids_parameter("sqlite", parents, _PARENTS)
    children = _passing(execute_with(connection, _read(), {**ids, "most": most}).one())
    if children:
        execute_with(connection, _meet("sqlite"), ids)
        left = packed((id_, blocked_by - met) for id_, *_, blocked_by, met in children)
        execute_with(connection, _count_down(), {"rows": left, "at": at})
    return children


def _passing(told: Sequence[Any]) -> list[_Child] | None:
    """Return the children, unless they have to be looked at one by one; `_read_and_write` decides by the same."""
    found, is_more = told
    children: list[_Child] = from_json(found or "[]")
    return None if is_more or any(child[_OF_RELEASE] != _BLOCKED for child in children) else children


def make_ready(connection: Connection, released: Sequence[Released], retries: dict[str, datetime]) -> None:
    """Give released jobs their place in their lanes, and time anew for `retries` of their own, by when they are due."""
    if retries:
        renew_retries(connection, retries)
    if in_lanes := [one.id for one in released if one.lanes]:
        move_to_the_end(connection, in_lanes)


def _children(dialect: str) -> tuple[CTE, ColumnElement[bool]]:
    """Read and lock the children; and whether there is more to do than these."""
    open_edges = select(job_edges.c.child).where(is_one_of(dialect, job_edges.c.parent, _PARENTS), is_open())
    edge = open_edges.limit(bindparam("most", type_=Integer) + 1).cte("edge")
    counted = select(edge.c.child, func.count().label("met")).group_by(edge.c.child).cte("counted")
    columns = [jobs.c[name] for name in _TOLD]
    waits = select(*columns, counted.c.met).join_from(counted, jobs, found_by(dialect, jobs.c.id, counted.c.child))
    child = waits.order_by(jobs.c.id).with_for_update(key_share=True, of=jobs).cte("child")
    many = select(func.count() > bindparam("most", type_=Integer)).select_from(edge).scalar_subquery()
    return child, is_left(dialect, _PARENTS) | many


def _tell(dialect: str, child: CTE, is_more: ColumnElement[bool]) -> Select[Any]:
    """Tell the children as one JSON text, for the reason that `started._take_in_sqlite` has."""
    return select(select(json_rows(dialect, child.c)).scalar_subquery(), is_more)


@cache
def _read() -> Any:
    return _tell("sqlite", *_children("sqlite"))


@cache
def _read_and_write() -> Any:
    """Do all of it in one statement, where nothing stands in the way: each is a trip to Postgres."""
    child, is_more = _children("postgresql")
    are_blocked = ~is_any(select(child.c.id).where(child.c.state != _BLOCKED))
    passing = select((~is_more & are_blocked).label("passes")).cte("passing")
    passes = select(passing.c.passes).scalar_subquery()
    counted_down = _counted_down("postgresql", child, child.c.blocked_by - child.c.met).where(passes)
    met = _meet("postgresql").where(passes)
    return _tell("postgresql", child, is_more).add_cte(met.cte("met"), counted_down.cte("counted_down"))


@cache
def _meet(dialect: str) -> Update:
    met = literal_column("'met'", String)
    return update(job_edges).where(is_one_of(dialect, job_edges.c.parent, _PARENTS), is_open()).values(state=met)


@cache
def _count_down() -> Update:
    child = unfold_lists("sqlite", "child", {"id": String(255), "left": Integer()})
    return _counted_down("sqlite", child, child.c.left)


def _counted_down(dialect: str, child: FromClause, left: ColumnElement[int]) -> Update:
    at = bindparam("at", type_=Moment)
    waits, is_early = left > 0, jobs.c.run_at > at
    released = case((is_early, str(State.SCHEDULED)), else_=str(State.QUEUED))
    return (
        update(jobs)
        .where(found_by(dialect, jobs.c.id, child.c.id))
        .values(
            blocked_by=left,
            state=case((waits, jobs.c.state), else_=released),
            run_at=case((waits | is_early, jobs.c.run_at), else_=at),
            dispatch_epoch="",
        )
    )
