"""Edges to decide after parents have ended, and their children: read and locked in one statement."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    literal_column,
    select,
    true,
    union_all,
)

from service.flow_tables import job_edges
from service.lane_rules import in_order
from service.ledger.flow_guards import is_left, is_open
from service.ledger.records.edges import Edge, Parent
from service.ledger.rows import found_by, ids_parameter, is_one_of, json_rows
from service.ledger.states import TERMINAL, State
from service.tables import jobs


class Child(NamedTuple):
    """A job that comes after others, as it is now; it is locked."""

    id: str
    kind: str
    queue: str
    priority: int
    state: State
    traits: int
    blocked_by: int | None
    run_at: datetime
    error_type: str | None
    unique_key: str | None
    lane: str | None
    kind_lane: str | None
    lane_limits: str | None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)


class Undecided(NamedTuple):
    """Edges that may not yet say what became of their parents, with their children by id.

    `is_left`: one of the parents waits for a followup.
    """

    edges: Sequence[Edge]
    children: dict[str, Child]
    is_left: bool


_STATE_AT, _RUN_AT = Child._fields.index("state"), Child._fields.index("run_at")
# `State(text)` takes ten times as long.
_STATES = {str(state): state for state in State}


def undecided(connection: Connection, parents: Sequence[Parent], limit: int, *, waits: bool) -> Undecided:
    """Return up to `limit` edges of the locked parents, and the children. Unless it `waits`, skips locked children.

    Open edges are returned if the parent has ended, or was attempted and that is enough. Broken edges are returned if
    the parent no longer breaks them: it was replayed, and therefore waits for a followup.
    """
    dialect = connection.dialect.name
    ids = {
        "parents": [one.id for one in parents],
        "over": [one.id for one in parents if one.state in TERMINAL],
        "live": [one.id for one in parents if one.state not in TERMINAL and one.has_attempted],
        "whole": [one.id for one in parents if one.state not in (State.FAILED, State.CANCELLED)],
    }
    parameters: dict[str, Any] = {"limit": limit}
    for name, some in ids.items():
        parameters |= ids_parameter(dialect, some, name)
    edges, children, is_left = connection.execute(_undecided(dialect, waits=waits), parameters).one()
    read = [_child(row) for row in from_json(children or "[]")]
    return Undecided([Edge(*row) for row in from_json(edges or "[]")], {one.id: one for one in read}, bool(is_left))


def _child(row: list[Any]) -> Child:
    row[_STATE_AT] = _STATES[row[_STATE_AT]]
    row[_RUN_AT] = datetime.fromisoformat(row[_RUN_AT])
    return Child(*row)


@cache
def _undecided(dialect: str, *, waits: bool) -> Select[Any]:
    """Read everything as JSON texts in one row, for the reason given in `started._take_in_sqlite`."""
    edge = _edges(dialect).cte("edge")
    told = [jobs.c[name] for name in Child._fields]
    each = select(edge.c.child).distinct().subquery("each_child")
    after = select(*told).join_from(each, jobs, found_by(dialect, jobs.c.id, each.c.child)).order_by(jobs.c.id)
    child = after.with_for_update(key_share=True, of=jobs, skip_locked=not waits).cte("child")
    return select(
        select(json_rows(dialect, edge.c)).scalar_subquery().label("edges"),
        select(json_rows(dialect, child.c)).scalar_subquery().label("children"),
        is_left(dialect, "parents").label("is_left"),
    )


def _edges(dialect: str) -> Any:
    columns = [job_edges.c[name] for name in Edge._fields]

    def of(parents: str, *conditions: ColumnElement[bool]) -> Select[Any]:
        return select(*columns).where(is_one_of(dialect, job_edges.c.parent, parents), *conditions)

    found = union_all(
        of("over", is_open()),
        of("live", is_open(), job_edges.c.run_when == literal_column("'attempted'")),
        of("whole", job_edges.c.state == literal_column("'broken'"), is_left(dialect, "parents")),
    ).subquery("found")
    return select(found).where(true()).limit(bindparam("limit", type_=Integer))
