"""New rows of jobs, with their rows for lists and tags."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, FromClause, String, case, insert, or_, select, text, true

from service.ledger.models import NewJob
from service.ledger.records.failed import group_of
from service.ledger.records.file_uses import record_uses
from service.ledger.records.lane_seqs import take_lane_seqs
from service.ledger.rows import execute, insert_for, packed, parameter, unfold, unfold_lists
from service.ledger.sealed import JOB_ARGS, vault_of
from service.ledger.traits import Trait
from service.tables import LIVE_SQL, job_listing, job_tags, jobs, lane_sequence, moment_text
from service.vault import Vault

# Columns that every job has.
_COMMON: tuple[str, ...] = ("id", "kind", "state", "queue", "priority", "args", "max_attempts", "run_at", "created_at")
# Columns that few jobs have. If no job of a statement has any of them, they are left out: on SQLite an insert then
# takes 8 us for each job instead of 14.
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
# Columns of jobs in lanes, and of jobs with limits for lanes: left out in the same way.
_LANE: tuple[str, ...] = ("lane_seq", "lane")
_LANES: tuple[str, ...] = (*_LANE, "kind_lane", "lane_limits", "label")
_lanes_of = attrgetter(*_LANES[1:])
_NO_LANES = (None,) * len(_LANES[1:])
# Known from the rare columns, so written with them.
_GROUP = ("fingerprint",)
_rare_of = attrgetter(*_RARE)
_NONE_RARE = ((), *[None] * (len(_RARE) - 1))

# Columns of linked jobs only: left out in the same way. The last one belongs to the job's listing, not to its row.
_LINKED: tuple[str, ...] = ("traits", "blocked_by", "flow", "flow_name")
_LISTED_ALONE = "flow_name"
# Columns of jobs whose requests set rare options. A retry policy is also one of a job's traits.
_MORE: tuple[str, ...] = ("retry", "retry_until", "unique_for", "request_hash")
_linked_of, _more_of = attrgetter(*_LINKED, "retry"), attrgetter(*_MORE)
_NOT_LINKED, _NO_MORE = (0, *[None] * len(_LINKED)), (None,) * len(_MORE)

# All of these, checked at once: nearly every job has none of them.
_uncommon_of = attrgetter(*_RARE, *_LANES[1:], *_LINKED, *_MORE)
_NOTHING_UNCOMMON = (*_NONE_RARE, *_NO_LANES, *_NOT_LINKED[:-1], *_NO_MORE)

# Who sent it, if callers need a key.
_SENT = ("enqueued_by",)

# A statement's time limit is meant for a slow or lost database, not for a large batch.
_ROWS_IN_A_STATEMENT = 1_000


def insert_jobs(connection: Connection, new: Sequence[NewJob]) -> tuple[dict[str, str], list[NewJob]]:
    """Insert jobs; return the new ones, and for each id the id that stands for it: its own, or its key's holder.

    An id that already exists counts as inserted: the write was sent again because its answer was lost.
    """
    ids: dict[str, str] = {}
    created: set[str] = set()
    left = list(new)
    while left:
        for start in range(0, len(left), _ROWS_IN_A_STATEMENT):
            created |= _insert_and_list(connection, left[start : start + _ROWS_IN_A_STATEMENT])
        ids |= {job.id: job.id for job in left if job.id in created}
        ids |= _standing_for(connection, [job for job in left if job.id not in ids])
        # For the rest, a holder of the unique key ended between the two statements.
        left = [job for job in left if job.id not in ids]
    inserted = [job for job in new if job.id in created]
    _insert_tags(connection, inserted)
    if uses := [(file_id, job.id) for job in inserted if job.files for file_id in job.files]:
        record_uses(connection, uses)
    return ids, inserted


def _insert_and_list(connection: Connection, some: Sequence[NewJob]) -> set[str]:
    """Insert and list the jobs without a conflict; return their ids."""
    dialect = connection.dialect.name
    columns, values = _values(connection, some)
    if dialect == "postgresql":
        return set(execute(connection, _insert_and_list_at_once(dialect, columns), packed(values)).scalars())
    created = set(execute(connection, _insert(dialect, columns), packed(values)).scalars())
    if len(created) < len(some):
        values = [value for value in values if value[0] in created]
    execute(connection, _insert_listing(dialect, columns), packed(values))
    return created


def _values(connection: Connection, some: Sequence[NewJob]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the columns that any of the jobs needs, and the values of each job."""
    if all(_uncommon_of(job) == _NOTHING_UNCOMMON for job in some):
        columns, values = _COMMON, [_common(job) for job in some]
    else:
        columns, values = _uncommon_values(connection, some)
    if any(job.enqueued_by is not None for job in some):
        columns += _SENT
        values = [(*value, job.enqueued_by) for job, value in zip(some, values, strict=True)]
    return columns, values


def _uncommon_values(connection: Connection, some: Sequence[NewJob]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return what `_values` does, for jobs of which at least one needs further columns."""
    columns, values = _COMMON, [_common(job) for job in some]
    if any(_rare_of(job) != _NONE_RARE for job in some):
        vault = vault_of(connection)
        columns, values = _COMMON + _RARE + _GROUP, [_row(job, vault) for job in some]
    lanes = [_lanes_of(job) for job in some]
    if any(of_one != _NO_LANES for of_one in lanes):
        own = _LANE if all(of_one[1:] == _NO_LANES[1:] for of_one in lanes) else _LANES
        columns += own
        values = _with_lanes(connection, lanes, values, len(own) - 1)
    if any(_linked_of(job) != _NOT_LINKED for job in some):
        columns += _LINKED
        values = [(*value, *_linked(job)) for job, value in zip(some, values, strict=True)]
    if any(_more_of(job) != _NO_MORE for job in some):
        columns += _MORE
        values = [(*value, *_more(job)) for job, value in zip(some, values, strict=True)]
    return columns, values


def _standing_for(connection: Connection, missing: Sequence[NewJob]) -> dict[str, str]:
    if not missing:
        return {}
    repeated = select(jobs.c.id).where(jobs.c.id.in_([job.id for job in missing]))
    ids = {job_id: job_id for job_id in connection.execute(repeated).scalars()}
    by_key = holders_of(connection, [job.unique_key for job in missing if job.unique_key])
    return {job.id: by_key[job.unique_key] for job in missing if job.unique_key in by_key} | ids


def holders_of(connection: Connection, keys: Iterable[str]) -> Mapping[str | None, str]:
    """Return the live jobs that hold unique keys, by key."""
    holders = connection.execute(_holders(connection.dialect.name), parameter([{"key": key} for key in keys]))
    return {key: job_id for key, job_id in holders if job_id is not None}


def _insert_tags(connection: Connection, created: Sequence[NewJob]) -> None:
    rows = [{"tag": tag, "created_at": job.created_at, "job_id": job.id} for job in created for tag in set(job.tags)]
    if rows:
        connection.execute(insert(job_tags), rows)


def _common(job: NewJob) -> tuple[Any, ...]:
    """Return the values of `_COMMON`."""
    return (
        job.id,
        job.kind,
        str(job.state),  # writing an enum's member takes longer
        job.queue,
        job.priority,
        job.args,
        job.max_attempts,
        moment_text(job.run_at),
        moment_text(job.created_at),
    )


def _row(job: NewJob, vault: Vault) -> tuple[Any, ...]:
    """Return the values of `_COMMON`, `_RARE` and `_GROUP`."""
    return (
        *_common(job),
        to_json(job.tags).decode(),
        None if job.sealed_args is None else JOB_ARGS.seal(vault, job.sealed_args, job.id),
        job.timeout_s,
        job.unique_key,
        job.arq_id,
        moment_text(job.expires_at) if job.expires_at else None,
        job.trace_context,
        job.metadata,
        job.error_type,
        job.error_message,
        moment_text(job.finished_at) if job.finished_at else None,
        group_of(job),
    )


def _linked(job: NewJob) -> tuple[Any, ...]:
    """Return the values of `_LINKED`."""
    return job.traits | (Trait.RETRY.value if job.retry else 0), job.blocked_by, job.flow, job.flow_name


def _more(job: NewJob) -> tuple[Any, ...]:
    """Return the values of `_MORE`."""
    return job.retry, moment_text(job.retry_until) if job.retry_until else None, job.unique_for, job.request_hash


def _with_lanes(
    connection: Connection, lanes: Sequence[tuple[Any, ...]], values: Sequence[tuple[Any, ...]], count: int
) -> list[tuple[Any, ...]]:
    """Add each job's number, and the first `count` values of its lanes. Postgres numbers jobs while it inserts them."""
    seqs = iter(take_lane_seqs(connection, len(lanes)) if connection.dialect.name == "sqlite" else ())
    return [
        (*value, next(seqs, None) if of_one[:2] != _NO_LANES[:2] else None, *of_one[:count])
        for of_one, value in zip(lanes, values, strict=True)
    ]


@cache
def _insert(dialect: str, columns: tuple[str, ...]) -> Any:
    return _inserting(dialect, columns, _new(dialect, columns)).returning(jobs.c.id)


@cache
def _insert_listing(dialect: str, columns: tuple[str, ...]) -> Any:
    return _listing(_new(dialect, columns))


@cache
def _insert_and_list_at_once(dialect: str, columns: tuple[str, ...]) -> Any:
    """Do both in one statement, to save a round trip. SQLite has no INSERT within WITH."""
    has_names = _LISTED_ALONE in columns
    new = select(_new(dialect, columns)).cte("new") if has_names else _new(dialect, columns)
    listed = (*_LISTED, *(name for name in _LISTED_OF_ROWS if name in columns))
    created = _inserting(dialect, columns, new).returning(*(jobs.c[name] for name in listed)).cte("created")
    told: FromClause = created
    if has_names:
        told = select(created, new.c[_LISTED_ALONE]).join(new, new.c.id == created.c.id).subquery("told")
    return select(created.c.id).add_cte(_listing(told).cte("listed"))


def _inserting(dialect: str, columns: tuple[str, ...], new: FromClause) -> Any:
    own = [name for name in columns if name != _LISTED_ALONE]
    values = [_next_lane_seq(new) if name == "lane_seq" and dialect != "sqlite" else new.c[name] for name in own]
    return insert_for(dialect)(jobs).from_select(own, select(*values).where(true())).on_conflict_do_nothing()


def _next_lane_seq(new: FromClause) -> ColumnElement[int]:
    in_any = or_(*(new.c[name].is_not(None) for name in ("lane", "kind_lane") if name in new.c))
    return case((in_any, lane_sequence.next_value()))


_LISTED = ("id", "kind", "queue", "created_at")
_LISTED_OF_ROWS = ("lane", "kind_lane", "label", "flow")
_LISTED_MORE = (*_LISTED_OF_ROWS, _LISTED_ALONE)


def _listing(new: FromClause) -> Any:
    columns = {"created_at": new.c.created_at, "job_id": new.c.id, "kind": new.c.kind, "queue": new.c.queue}
    columns |= {name: new.c[name] for name in _LISTED_MORE if name in new.c}
    return insert(job_listing).from_select(list(columns), select(*columns.values()))


def _new(dialect: str, columns: tuple[str, ...]) -> FromClause:
    of = {name: job_listing if name == _LISTED_ALONE else jobs for name in columns}
    return unfold_lists(dialect, "new", {name: table.c[name].type for name, table in of.items()})


@cache
def _holders(dialect: str) -> Any:
    """Look up who holds unique keys, one by one, in the words of their partial index; see `guards.key_taken`."""
    wanted = unfold(dialect, "wanted", {"key": String(255)})
    holds = select(jobs.c.id).where(jobs.c.unique_key == wanted.c.key, jobs.c.unique_key.is_not(None), text(LIVE_SQL))
    return select(wanted.c.key, holds.scalar_subquery())
