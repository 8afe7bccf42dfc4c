"""A running attempt keeps the result of a step, or a checkpoint, for the attempts that follow."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    Connection,
    Integer,
    Select,
    String,
    Table,
    Text,
    delete,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.types import TypeEngine

from service.ledger.guards import unindexed
from service.ledger.rows import execute, found_by, insert_for, packed, unfold_lists
from service.ledger.states import State
from service.ledger.traits import Trait
from service.step_tables import job_checkpoints, job_steps
from service.tables import Moment, jobs, moment_text


class Step(NamedTuple):
    """A step that has run; its result is JSON."""

    job_id: str
    attempt: int
    name: str
    result: str
    started_at: datetime
    finished_at: datetime


class Checkpoint(NamedTuple):
    """Where an attempt is, as JSON."""

    job_id: str
    attempt: int
    value: str
    recorded_at: datetime


_KEEPS = Trait.STEPS.value  # `&` on an enum's flag takes thirty times as long
_KEYS: dict[str, TypeEngine[Any]] = {"job_id": String(255), "attempt": Integer()}
_STEPS: dict[str, TypeEngine[Any]] = {
    **_KEYS,
    "name": String(100),
    "result": Text(),
    "started_at": Moment(),
    "finished_at": Moment(),
}
_CHECKPOINTS: dict[str, TypeEngine[Any]] = {**_KEYS, "value": Text(), "recorded_at": Moment()}


def record_steps(connection: Connection, steps: Sequence[Step]) -> list[bool]:
    """Keep steps; return False for an attempt that was taken away. A step that is already kept stays as it is."""
    kept = _running(connection, {step[:2] for step in steps})
    rows = [
        (*step[:4], moment_text(step.started_at), moment_text(step.finished_at)) for step in steps if step[:2] in kept
    ]
    if rows:
        execute(connection, _insert_steps(connection.dialect.name), packed(rows))
    return [step[:2] in kept for step in steps]


def record_checkpoints(connection: Connection, checkpoints: Sequence[Checkpoint]) -> list[bool]:
    """Keep the latest checkpoint of each job; return False for an attempt that was taken away."""
    kept = _running(connection, {one[:2] for one in checkpoints})
    latest = {one.job_id: one for one in checkpoints if one[:2] in kept}
    rows = [(*one[:3], moment_text(one.recorded_at)) for one in latest.values()]
    if rows:
        execute(connection, _upsert_checkpoints(connection.dialect.name), packed(rows))
    return [one[:2] in kept for one in checkpoints]


def delete_kept(connection: Connection, ids: Sequence[str]) -> None:
    for table in (job_steps, job_checkpoints):
        connection.execute(delete(table).where(table.c.job_id.in_(ids)))


def forget_kept(connection: Connection, ids: Sequence[str]) -> None:
    """Let jobs start over: delete their kept steps and checkpoints."""
    delete_kept(connection, ids)
    connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(traits=jobs.c.traits.bitwise_and(~_KEEPS)))


def _running(connection: Connection, keys: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return which of the attempts are running, and mark their jobs.

    On Postgres, none of them ends before the commit.
    """
    rows = packed(keys)
    dialect = connection.dialect.name
    found = execute(connection, _lock(dialect), rows)
    running: Sequence[Any] = from_json(found.scalar_one()) if dialect == "sqlite" else found.all()
    if unmarked := [job_id for job_id, _, traits in running if not traits & _KEEPS]:
        marked = jobs.c.traits.bitwise_or(_KEEPS)
        connection.execute(update(jobs).where(jobs.c.id.in_(unmarked)).values(traits=marked))
    return {(job_id, attempt) for job_id, attempt, _ in running}


@cache
def _lock(dialect: str) -> Any:
    """Choose the running attempts. SQLite returns one JSON text, for the reason given in `started._take_in_sqlite`."""
    wanted = unfold_lists(dialect, "wanted", _KEYS)
    columns = (jobs.c.id, jobs.c.attempt, jobs.c.traits)
    is_held = found_by(dialect, jobs.c.id, wanted.c.job_id) & (jobs.c.attempt == wanted.c.attempt)
    runs = unindexed(jobs.c.state) == literal_column(f"'{State.RUNNING}'")
    if dialect == "sqlite":
        chosen: Select[Any] = select(func.json_group_array(func.json_array(*columns)))
        return chosen.join_from(wanted, jobs, is_held).where(runs)
    chosen = select(*columns).join_from(wanted, jobs, is_held).where(runs)
    # In order, so that no two of these statements deadlock.
    return chosen.order_by(jobs.c.id).with_for_update(of=jobs, key_share=True)


@cache
def _insert_steps(dialect: str) -> Any:
    return _inserting(dialect, job_steps, _STEPS).on_conflict_do_nothing()


@cache
def _upsert_checkpoints(dialect: str) -> Any:
    statement = _inserting(dialect, job_checkpoints, _CHECKPOINTS)
    newer = {name: statement.excluded[name] for name in _CHECKPOINTS if name != "job_id"}
    return statement.on_conflict_do_update(index_elements=["job_id"], set_=newer)


def _inserting(dialect: str, table: Table, columns: dict[str, TypeEngine[Any]]) -> Any:
    new = unfold_lists(dialect, "new", columns)
    values = [new.c[name] for name in columns]
    return insert_for(dialect)(table).from_select(list(columns), select(*values).where(true()))
