"""A request becomes jobs: the moment from which Postlude owes them."""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, FromClause, String, case, insert, select, text, true, update

from service.ledger.models import Enqueue, Enqueued, KeyHeld, NewJob
from service.ledger.records.lane_seqs import take_lane_seqs
from service.ledger.records.tallied import tally
from service.ledger.rows import execute, insert_for, packed, parameter, unfold, unfold_lists
from service.tables import LIVE_SQL, idempotency_keys, job_listing, job_tags, jobs, lane_sequence, moment_text

# What every job has.
_COMMON: tuple[str, ...] = ("id", "kind", "state", "queue", "priority", "args", "max_attempts", "run_at", "created_at")
# What few have. Where no job of a statement has any of it, these columns are left out: on SQLite an insert then takes
# 8 us for each job instead of 14.
_RARE: tuple[str, ...] = (
    "tags",
    "sealed_args",
    "timeout_s",
    "unique_key",
    "arq_id",
    "expires_at",
    "trace_context",
    "metadata",
    "error_type",
    "error_message",
    "finished_at",
)
# What jobs in lanes have: left out in the same way.
_LANES: tuple[str, ...] = ("lane", "kind_lane", "lane_limits", "lane_seq")
_lanes_of = attrgetter("lane", "kind_lane")
_rare_of = attrgetter(*_RARE)
_NONE_RARE = ((), *[None] * (len(_RARE) - 1))

# A statement's limit is for a database that is slow or gone, not for a batch that is large.
_ROWS_IN_A_STATEMENT = 1_000


def record_enqueued(connection: Connection, requests: Sequence[Enqueue]) -> list[Enqueued]:
    """Record requests. One whose idempotency key belongs to an earlier request records nothing."""
    holders = _take_keys(connection, requests)
    held = [_held(request, holders) for request in requests]
    new = [job for request, holder in zip(requests, held, strict=True) if holder is None for job in request.jobs]
    ids, created = insert_jobs(connection, new)
    tally(connection, ((requests[0].writer, job.kind, "enqueued") for job in created), requests[0].jobs[0].created_at)
    results = [
        Enqueued(held=holder)
        if holder
        else Enqueued(request.jobs, tuple(ids[job.id] for job in request.jobs), _created(request, ids))
        for request, holder in zip(requests, held, strict=True)
    ]
    _correct_answers(connection, requests, results)
    return results


def insert_jobs(connection: Connection, new: Sequence[NewJob]) -> tuple[dict[str, str], list[NewJob]]:
    """Insert jobs; return the new ones, and for each id the one that stands for it: its own, or its key's holder.

    An id that is there already counts as inserted: the write was sent again because its answer was lost.
    """
    ids: dict[str, str] = {}
    created: set[str] = set()
    left = list(new)
    while left:
        for start in range(0, len(left), _ROWS_IN_A_STATEMENT):
            created |= _insert_and_list(connection, left[start : start + _ROWS_IN_A_STATEMENT])
        ids |= {job.id: job.id for job in left if job.id in created}
        ids |= _standing_for(connection, [job for job in left if job.id not in ids])
        # What is left had a holder of its unique key that ended between the two statements.
        left = [job for job in left if job.id not in ids]
    inserted = [job for job in new if job.id in created]
    _insert_tags(connection, inserted)
    return ids, inserted


def _insert_and_list(connection: Connection, some: Sequence[NewJob]) -> set[str]:
    """Insert and list the jobs that nothing stands in the way of; return their ids."""
    dialect = connection.dialect.name
    if all(_rare_of(job) == _NONE_RARE for job in some):
        columns, row = _COMMON, _common
    else:
        columns, row = _COMMON + _RARE, _row
    values = [row(job) for job in some]
    if any(_lanes_of(job) != (None, None) for job in some):
        columns += _LANES
        values = _with_lanes(connection, some, values)
    if dialect == "postgresql":
        return set(execute(connection, _insert_and_list_at_once(dialect, columns), packed(values)).scalars())
    created = set(execute(connection, _insert(dialect, columns), packed(values)).scalars())
    if len(created) < len(some):
        values = [value for value in values if value[0] in created]
    execute(connection, _insert_listing(dialect, columns), packed(values))
    return created


def _standing_for(connection: Connection, missing: Sequence[NewJob]) -> dict[str, str]:
    if not missing:
        return {}
    repeated = select(jobs.c.id).where(jobs.c.id.in_([job.id for job in missing]))
    ids = {job_id: job_id for job_id in connection.execute(repeated).scalars()}
    keys = parameter([{"key": job.unique_key} for job in missing if job.unique_key])
    holders = connection.execute(_holders(connection.dialect.name), keys)
    by_key: Mapping[str | None, str] = {key: job_id for key, job_id in holders if job_id is not None}
    return {job.id: by_key[job.unique_key] for job in missing if job.unique_key in by_key} | ids


def _take_keys(connection: Connection, requests: Sequence[Enqueue]) -> dict[str, KeyHeld]:
    """Take the idempotency keys that are free or expired; return whose each key is now."""
    first: dict[str, Enqueue] = {}
    for request in requests:
        if request.key is not None:
            first.setdefault(request.key.key, request)
    if not first:
        return {}
    statement = _insert_keys(connection.dialect.name)
    connection.execute(statement, parameter([_key_row(request) for request in first.values()]))
    rows = connection.execute(select(idempotency_keys).where(idempotency_keys.c.key.in_(first)))
    return {row.key: KeyHeld(row.fingerprint, row.answer, row.job_id) for row in rows}


def _held(request: Enqueue, holders: Mapping[str, KeyHeld]) -> KeyHeld | None:
    holder = holders[request.key.key] if request.key else None
    return None if holder is None or holder.job_id == request.jobs[0].id else holder


def _created(request: Enqueue, ids: Mapping[str, str]) -> frozenset[str]:
    return frozenset(job.id for job in request.jobs if ids[job.id] == job.id)


def _correct_answers(connection: Connection, requests: Sequence[Enqueue], results: Sequence[Enqueued]) -> None:
    """Where unique keys led a request to the jobs of others, tell a repetition of these too.

    A single job is then answered as it is at that time; the answer of a batch names other ids.
    """
    for request, result in zip(requests, results, strict=True):
        if request.key is None or result.held is not None or len(result.created) == len(request.jobs):
            continue
        told: dict[str, str | None] = {"answer": None, "job_id": result.ids[0]}
        if len(request.jobs) > 1:
            told = {"answer": _renamed(request.key.answer, request, result)}
        row = idempotency_keys.c.key == request.key.key
        connection.execute(update(idempotency_keys).where(row).values(told))


def _renamed(answer: str, request: Enqueue, result: Enqueued) -> str:
    for job, job_id in zip(request.jobs, result.ids, strict=True):
        answer = answer.replace(job.id, job_id)
    return answer


def _insert_tags(connection: Connection, created: Sequence[NewJob]) -> None:
    rows = [{"tag": tag, "created_at": job.created_at, "job_id": job.id} for job in created for tag in set(job.tags)]
    if rows:
        connection.execute(insert(job_tags), rows)


def _common(job: NewJob) -> tuple[Any, ...]:
    """Return the values of `_COMMON`."""
    return (
        job.id,
        job.kind,
        job.state,
        job.queue,
        job.priority,
        job.args,
        job.max_attempts,
        moment_text(job.run_at),
        moment_text(job.created_at),
    )


def _row(job: NewJob) -> tuple[Any, ...]:
    """Return the values of `_COMMON` and `_RARE`."""
    return (
        *_common(job),
        to_json(job.tags).decode(),
        job.sealed_args,
        job.timeout_s,
        job.unique_key,
        job.arq_id,
        moment_text(job.expires_at) if job.expires_at else None,
        job.trace_context,
        job.metadata,
        job.error_type,
        job.error_message,
        moment_text(job.finished_at) if job.finished_at else None,
    )


def _with_lanes(
    connection: Connection, some: Sequence[NewJob], values: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Add the values of `_LANES`. Postgres numbers jobs while it inserts them."""
    seqs = iter(take_lane_seqs(connection, len(some)) if connection.dialect.name == "sqlite" else ())
    return [
        (*value, job.lane, job.kind_lane, job.lane_limits, next(seqs, None) if job.lanes else None)
        for job, value in zip(some, values, strict=True)
    ]


def _key_row(request: Enqueue) -> dict[str, Any]:
    assert request.key is not None
    return {
        "key": request.key.key,
        "fingerprint": request.key.fingerprint,
        "answer": request.key.answer,
        "job_id": request.jobs[0].id,
        "created_at": moment_text(request.key.created_at),
        "expires_at": moment_text(request.key.expires_at),
    }


@cache
def _insert(dialect: str, columns: tuple[str, ...]) -> Any:
    return _inserting(dialect, columns).returning(jobs.c.id)


@cache
def _insert_listing(dialect: str, columns: tuple[str, ...]) -> Any:
    return _listing(_new(dialect, columns))


@cache
def _insert_and_list_at_once(dialect: str, columns: tuple[str, ...]) -> Any:
    """Do both in one statement: each is a trip to the server. SQLite knows no INSERT in WITH."""
    listed = (*_LISTED, *_LISTED_LANES) if "lane" in columns else _LISTED
    cte = _inserting(dialect, columns).returning(*(jobs.c[name] for name in listed)).cte("created")
    return select(cte.c.id).add_cte(_listing(cte).cte("listed"))


def _inserting(dialect: str, columns: tuple[str, ...]) -> Any:
    new = _new(dialect, columns)
    values = [_next_lane_seq(new) if name == "lane_seq" and dialect != "sqlite" else new.c[name] for name in columns]
    return insert_for(dialect)(jobs).from_select(list(columns), select(*values).where(true())).on_conflict_do_nothing()


def _next_lane_seq(new: FromClause) -> ColumnElement[int]:
    in_any = new.c.lane.is_not(None) | new.c.kind_lane.is_not(None)
    return case((in_any, lane_sequence.next_value()))


_LISTED = ("id", "kind", "queue", "created_at")
_LISTED_LANES = ("lane", "kind_lane")


def _listing(new: FromClause) -> Any:
    columns = {"created_at": new.c.created_at, "job_id": new.c.id, "kind": new.c.kind, "queue": new.c.queue}
    columns |= {name: new.c[name] for name in _LISTED_LANES if name in new.c}
    return insert(job_listing).from_select(list(columns), select(*columns.values()))


def _new(dialect: str, columns: tuple[str, ...]) -> FromClause:
    return unfold_lists(dialect, "new", {name: jobs.c[name].type for name in columns})


@cache
def _holders(dialect: str) -> Any:
    """Look up who holds unique keys, one by one, in the words of their partial index; see `guards.key_taken`."""
    wanted = unfold(dialect, "wanted", {"key": String(255)})
    holds = select(jobs.c.id).where(jobs.c.unique_key == wanted.c.key, jobs.c.unique_key.is_not(None), text(LIVE_SQL))
    return select(wanted.c.key, holds.scalar_subquery())


@cache
def _insert_keys(dialect: str) -> Any:
    columns = {column.name: column.type for column in idempotency_keys.c}
    new = unfold(dialect, "new", columns)
    statement = insert_for(dialect)(idempotency_keys).from_select(list(columns), select(new).where(true()))
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={name: statement.excluded[name] for name in columns if name != "key"},
        where=idempotency_keys.c.expires_at <= statement.excluded.created_at,
    )
