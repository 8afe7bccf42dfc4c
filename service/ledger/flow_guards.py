"""Conditions on edges that are still open."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, literal_column, not_, or_, select

from service.flow_tables import followups, job_edges
from service.ledger.rows import is_one_of
from service.tables import jobs


def is_open(edges: Any = job_edges) -> ColumnElement[bool]:
    """Ask for open edges; `edges` is the table, or an alias of it."""
    condition: ColumnElement[bool] = edges.c.state == literal_column("'open'")
    return condition


def is_settled() -> ColumnElement[bool]:
    """Ask whether a job's edges are settled: none is open, and no followup is left to do."""
    to_it, from_it = job_edges.alias("to_it"), job_edges.alias("from_it")
    awaits = is_any(select(to_it.c.child).where(to_it.c.child == jobs.c.id, is_open(to_it)))
    is_awaited = is_any(select(from_it.c.child).where(from_it.c.parent == jobs.c.id, is_open(from_it)))
    is_left = is_any(select(followups.c.job_id).where(followups.c.job_id == jobs.c.id))
    return not_(and_(jobs.c.traits != 0, or_(awaits, is_awaited, is_left)))


def is_left(dialect: str, name: str) -> ColumnElement[bool]:
    """Ask whether any of the jobs in the parameter `name` (see `rows.is_one_of`) waits for a followup."""
    return is_any(select(followups.c.job_id).where(is_one_of(dialect, followups.c.job_id, name)))


def is_any(rows: Select[Any]) -> ColumnElement[bool]:
    """Ask whether there is a row. For EXISTS, Postgres may first read the whole other table into a hash."""
    return rows.limit(1).scalar_subquery().is_not(None)
