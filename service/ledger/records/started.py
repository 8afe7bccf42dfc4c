"""A waiting job begins an attempt. From the commit on, the worker's row is the lease and the number is the fence."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    Update,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from jobs.kit.results import Parent
from service.lane_rules import counted_as
from service.ledger.guards import COUNTED_AS, state_is, unindexed
from service.ledger.lane_guards import are_lanes_of, are_lanes_of_claim, is_behind, is_paused
from service.ledger.models import Start, Started
from service.ledger.reads.particulars import few_of, few_parents_of, select_few_parents
from service.ledger.records.tallied import add_up, tally
from service.ledger.rows import execute_with, found_by, ids_parameter, is_one_of, json_rows, parameter, unfold
from service.ledger.states import WAITING, State
from service.ledger.traits import Trait
from service.tables import Moment, jobs, workers

_ANY_CRASHES = 2**31 - 1
_WORKER, _AT = bindparam("worker", type_=String), bindparam("at", type_=Moment)
_PREFETCHED = bindparam("prefetched", type_=Integer)
# A job that waits at once again after a prefetched attempt was lost with its worker, or handed back.
_may_be_prefetched = (jobs.c.prefetched == 0) | state_is(State.RETRYING)
_KEPT_ARGS = func.coalesce(jobs.c.sealed_args, jobs.c.args)
# All but `worker` and `started_at`, and what comes from `retry` on, which are not read from the row. What only jobs in
# lanes have comes last.
_WORKER_AT = Started._fields.index("worker")
_LANES_AT = Started._fields.index("lane")
_LANELESS = Started._fields[:_WORKER_AT] + Started._fields[_WORKER_AT + 2 : _LANES_AT]
_IN_LANES = _LANELESS + Started._fields[_LANES_AT : Started._fields.index("retry")]
_CREATED_AT, _RUN_AT, _DUE_SINCE = map(_LANELESS.index, ("created_at", "run_at", "due_since"))
_PARENTS = Trait.PARENTS.value
_PARENTS_AT = Started._fields.index("parents")  # the last
# What follows what is read of the row.
_AFTER_LANELESS, _AFTER_IN_LANES = (
    tuple(Started._field_defaults[name] for name in Started._fields[len(names) + 2 :])
    for names in (_LANELESS, _IN_LANES)
)
_counted_by = attrgetter("kind", "lane_limits")
_STARTED = "started"


class _Way(NamedTuple):
    """Which statement begins the attempts: one for laneless jobs, one for jobs in lanes, one if any is strict."""

    in_lanes: bool
    strict: bool
    past_lanes: bool
    on_queues: bool
    handed_over: bool

    @classmethod
    def of(cls, start: Start) -> "_Way":
        return cls(
            start.lanes_epoch is not None, bool(start.strict), start.past_lanes, bool(start.queues), start.handed_over
        )

    @property
    def columns(self) -> dict[str, TypeEngine[Any]]:
        names = ["id"]
        if self.in_lanes:
            names += ["lane", "lane_too"]
        if self.strict:
            names += ["strict", "strict_too"]
        return {name: String(255) for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        return _IN_LANES if self.in_lanes else _LANELESS

    @property
    def read(self) -> list[ColumnElement[Any]]:
        return [_KEPT_ARGS if name == "args" else jobs.c[name] for name in self.names]


def record_started(connection: Connection, starts: Sequence[Start]) -> list[dict[str, Started]]:
    """Begin an attempt of each job that waits, is due, not expired, and of a known kind, under a living worker.

    Return, by id, the attempts that may be performed. While one runs, the job's row is all that is written of it;
    `record_finished` adds the attempt's own.
    """
    return [{} if _is_late(start) else _record_started(connection, start) for start in starts]


def _is_late(start: Start) -> bool:
    return start.until is not None and time.monotonic() > start.until


def _record_started(connection: Connection, start: Start) -> dict[str, Started]:
    dialect = connection.dialect.name
    parameters: dict[str, Any] = {
        **parameter(_rows(start)),
        "worker": start.worker,
        "at": start.at,
        "due_by": start.due_by or start.at,
        "crashes_below": start.crashes_below if start.crashes_below is not None else _ANY_CRASHES,
        **ids_parameter(dialect, start.kinds, "kinds"),
        "prefetched": int(start.prefetched),
    }
    way = _Way.of(start)
    if way.on_queues:
        parameters |= ids_parameter(dialect, start.queues, "queues")
    if way.in_lanes:
        parameters["lanes_epoch"] = start.lanes_epoch
    taken, parents = _take(connection, way, parameters)
    own, rest = (start.worker, start.at), _AFTER_IN_LANES if way.in_lanes else _AFTER_LANELESS
    # Two thirds of the time that `Started(...)` takes.
    new = partial(tuple.__new__, Started)
    started: dict[str, Started] = {row[0]: new((*row[:_WORKER_AT], *own, *row[_WORKER_AT:], *rest)) for row in taken}
    if children := [one.id for one in started.values() if one.traits & _PARENTS]:
        found = _parents_of(connection, children) if parents is None else few_of(children, parents)
        for job_id, parents_of_it in found.items():
            started[job_id] = new((*started[job_id][:_PARENTS_AT], tuple(parents_of_it)))
    if dialect == "sqlite":  # elsewhere the statement has counted them
        _tally(connection, start, started.values())
    return started


def _parents_of(connection: Connection, children: Sequence[str]) -> Mapping[str, list[Parent]]:
    """Return the parents of jobs that have few; none if that fails once the start stands: they are read later."""
    try:
        return few_parents_of(connection, children)
    except DBAPIError:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            raise
        return {}


def _tally(connection: Connection, start: Start, started: Iterable[Started]) -> None:
    counts = Counter[tuple[str, str, str]]()
    for told, count in Counter(map(_counted_by, started)).items():
        counts[start.worker, counted_as(*told), _STARTED] += count
    tally(connection, counts, start.at)


def _rows(start: Start) -> list[dict[str, str]]:
    rows = {job_id: {"id": job_id} for job_id in start.ids}
    for job_id, lane in start.strict:
        rows[job_id]["strict_too" if "strict" in rows[job_id] else "strict"] = lane
    for job_id, lanes in start.lanes:
        rows[job_id] |= zip(("lane", "lane_too"), lanes, strict=False)
    return list(rows.values())


# Of each job what `Started` reads; and of their parents what `few_of` reads, where they come with the start.
_Taken = tuple[Sequence[Sequence[Any]], Sequence[Any] | None]


def _take(connection: Connection, way: _Way, parameters: dict[str, Any]) -> _Taken:
    """Change the rows, and return what is read of them."""
    if connection.dialect.name == "sqlite":
        return _take_in_sqlite(connection, way, parameters), None
    rows = execute_with(connection, _start_returning(way), parameters).all()
    if not way.handed_over:
        return rows, None
    told = next((row[-1] for row in rows if row[-1] is not None), "[]")
    return [row[:-1] for row in rows], from_json(told)


def _take_in_sqlite(connection: Connection, way: _Way, parameters: dict[str, Any]) -> list[list[Any]]:
    """Change them in two statements, the second of which returns one JSON text.

    Between any two rows of a result the driver lets go of Python's lock, and beside a busy event loop waits up to 5 ms
    to get it back.
    """
    if execute_with(connection, _start("sqlite", way), parameters).rowcount == 0:
        return []
    rows: list[list[Any]] = from_json(execute_with(connection, _started_in_sqlite(way), parameters).scalar_one())
    for row in rows:
        created_at, run_at = row[_CREATED_AT], row[_RUN_AT]
        row[_CREATED_AT] = created = datetime.fromisoformat(created_at)
        row[_RUN_AT] = created if run_at == created_at else datetime.fromisoformat(run_at)
        if row[_DUE_SINCE] is not None:
            row[_DUE_SINCE] = datetime.fromisoformat(row[_DUE_SINCE])
    return rows


@cache
def _start(dialect: str, way: _Way) -> Update:
    start = unfold(dialect, "start", way.columns)
    of_lanes = [are_lanes_of(bindparam("lanes_epoch", type_=String))] if way.in_lanes else []
    of_claim = [are_lanes_of_claim(start.c.lane, start.c.lane_too)] if way.in_lanes else []
    on_queues = [is_one_of(dialect, unindexed(jobs.c.queue), "queues")] if way.on_queues else []
    laneless = [jobs.c.lane_seq.is_(None)] if not (way.in_lanes or way.past_lanes) else []
    unpaused = [~is_paused(_AT)] if way.handed_over else []
    in_turn = [~is_behind(start.c.strict, start.c.strict_too)] if way.strict else []
    return (
        update(jobs)
        .where(
            found_by(dialect, jobs.c.id, start.c.id),
            state_is(*WAITING),
            jobs.c.run_at <= bindparam("due_by", type_=Moment),
            jobs.c.crashes < bindparam("crashes_below", type_=Integer),
            _may_be_prefetched | (_PREFETCHED == 0),
            is_one_of(dialect, unindexed(jobs.c.kind), "kinds"),
            jobs.c.expires_at.is_(None) | (jobs.c.expires_at > _AT),
            exists().where(workers.c.id == _WORKER, workers.c.ended_at.is_(None)),
            *on_queues,
            *of_lanes,
            *of_claim,
            *laneless,
            *unpaused,
            *in_turn,
        )
        .values(
            state=State.RUNNING,
            attempt=jobs.c.attempt + 1,
            worker=_WORKER,
            prefetched=_PREFETCHED,
            started_at=_AT,
            progress_done=None,
            progress_total=None,
            expires_at=None,  # it has been started in time; what comes later cannot undo that
            dispatch_epoch="",
        )
    )


@cache
def _start_returning(way: _Way) -> Any:
    """Begin the attempts and count them in one statement: each is a trip to the server.

    What no claim has chosen was released by its parents: these come with the first row. It is counted apart: a finish
    locks counters until its commit, and a claim's start must not wait for it.
    """
    read = [column.label(name) for name, column in zip(way.names, way.read, strict=True)]
    begun = _start("postgresql", way).returning(*read, COUNTED_AS.label("counted_as")).cte("begun")
    writer = _WORKER.concat(literal_column("'+'", String)) if way.handed_over else _WORKER
    kinds = select(writer, begun.c.counted_as, literal_column(f"'{_STARTED}'", String), func.count(), _AT)
    counted = add_up("postgresql", kinds.group_by(begun.c.counted_as))
    told: list[ColumnElement[Any]] = [begun.c[name] for name in way.names]
    if way.handed_over:
        parents = select(json_rows("postgresql", select_few_parents("postgresql", begun).subquery("few").c))
        told.append(case((func.row_number().over() == 1, parents.scalar_subquery())))
    return select(*told).add_cte(counted.cte("counted"))


@cache
def _started_in_sqlite(way: _Way) -> Any:
    """Read what this start has just changed: no other start of the job has the same worker and moment."""
    start = unfold("sqlite", "start", {"id": String(255)})
    return (
        select(func.json_group_array(func.json_array(*way.read)))
        .join_from(start, jobs, jobs.c.id == start.c.id)
        .where(state_is(State.RUNNING), jobs.c.worker == _WORKER, jobs.c.started_at == _AT)
    )
