"""A user changes jobs that have not started: each as a whole, or not at all if a worker was first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypedDict

from pydantic_core import to_json
from sqlalchemy import Connection, delete, func, insert, select, update

from jobs import Lane
from service.lane_rules import given_lane, in_order, lane_fields
from service.ledger.changes import Changed, ChangeResult, Place
from service.ledger.guards import IN_LANES, state_is
from service.ledger.records.file_uses import change_uses
from service.ledger.records.lane_seqs import take_lane_seqs
from service.ledger.rows import found_by, parameter, unfold
from service.ledger.sealed import JOB_ARGS, vault_of
from service.ledger.states import PROMOTABLE, UNSTARTED, State, state_when_moved
from service.ledger.traits import Trait
from service.own_retry import retry_until
from service.tables import job_listing, job_tags, jobs, moment_text
from service.vault import Vault


class Values(TypedDict, total=False):
    """The new values of a job. Whatever is left out stays as it is."""

    run_at: datetime
    priority: int
    queue: str
    args: str
    sealed_args: str | None
    max_attempts: int
    timeout_s: float | None
    tags: tuple[str, ...]
    metadata: str | None
    lane: Lane | None
    kind_lane: Lane | None
    expires_at: datetime | None
    trace_context: str | None
    retry: str | None
    unique_for: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to change a job. Values derived from its args are valid only while the args are still stored as `of_args`.

    `lanes` are the columns lane, kind_lane, lane_limits and label of a new job, instead of the two in `values`. `files`
    are the files that its args name from now on.
    """

    id: str
    at: datetime
    values: Values
    of_args: str | None = None
    lanes: tuple[str | None, str | None, str | None, str | None] | None = None
    files: tuple[str, ...] | None = None


Row = Mapping[str, Any]

_KEPT_ARGS = func.coalesce(jobs.c.sealed_args, jobs.c.args).label("kept_args")
_READ = (
    *(jobs.c[name] for name in ("id", "kind", "state", "queue", "run_at", "created_at", "priority", "arq_id")),
    *(jobs.c[name] for name in ("failures", "retry", "traits", "label")),
    *IN_LANES,
)
_MOMENTS = ("run_at", "expires_at", "retry_until")
_LISTED = ("queue", "lane", "kind_lane", "label")


def record_changed(connection: Connection, changes: Sequence[Change]) -> list[Changed]:
    """Change jobs that have not started; return the result for each, and where it waits now.

    Their rows are locked before they are read: a worker that starts one meanwhile sees it either before or after.
    """
    results: dict[int, Changed] = {}
    for some in _rounds(changes):
        rows = locked(connection, [change.id for change in some.values()], args=any(c.of_args for c in some.values()))
        refused = {number: _refusal(rows.get(change.id), change) for number, change in some.items()}
        accepted = [number for number in some if refused[number] is None]
        made = apply(connection, [(rows[some[number].id], some[number]) for number in accepted])
        results |= {number: one for number, one in refused.items() if one is not None}
        results |= zip(accepted, made, strict=True)
    return [results[number] for number in range(len(changes))]


def locked(connection: Connection, ids: Sequence[str], *, args: bool = False) -> dict[str, Row]:
    """Read what a change must know about jobs, by id, and keep it unchanged until the transaction ends.

    Rows are locked in the order of ids, as everywhere. With `args`, the args are read too, as attempts get them,
    secrets still sealed.
    """
    columns = (*_READ, _KEPT_ARGS) if args else _READ
    rows = connection.execute(select(*columns).where(jobs.c.id.in_(ids)).order_by(jobs.c.id).with_for_update())
    return {row["id"]: dict(row) for row in rows.mappings()}


def apply(connection: Connection, wanted: Sequence[tuple[Row, Change]]) -> list[Changed]:
    """Change jobs that are `locked` and have not started, each once."""
    new = [_columns(row, change) for row, change in wanted]
    _seal(vault_of(connection), [row for row, _ in wanted], new)
    _number_in_lanes(connection, [row for row, _ in wanted], new)
    changed = [_changed(row, columns) for (row, _), columns in zip(wanted, new, strict=True)]
    for one, columns in zip(changed, new, strict=True):
        if one.after is not None:
            columns["dispatch_epoch"] = ""
    _update(connection, [{"id": row["id"], **columns} for (row, _), columns in zip(wanted, new, strict=True)])
    _list_anew(connection, [(row, columns) for (row, _), columns in zip(wanted, new, strict=True)])
    _tag_anew(connection, [(row, change.values["tags"]) for row, change in wanted if "tags" in change.values])
    if files := [(row["id"], change.files) for row, change in wanted if change.files is not None]:
        change_uses(connection, files)
    return changed


def _rounds(changes: Sequence[Change]) -> Iterator[dict[int, Change]]:
    """Split changes into rounds, by their numbers, so that each job is changed once in a round."""
    left = dict(enumerate(changes))
    while left:
        first = {change.id: number for number, change in reversed(left.items())}
        some = {number: left.pop(number) for number in sorted(first.values())}
        yield some


def _refusal(row: Row | None, change: Change) -> Changed | None:
    if row is None:
        return Changed(ChangeResult.NOT_FOUND)
    if row["state"] not in UNSTARTED:
        return Changed(ChangeResult.STATE_FORBIDS, State(row["state"]))
    if change.of_args is not None and change.of_args != row["kept_args"]:
        return Changed(ChangeResult.ARGS_CHANGED, State(row["state"]))
    return None


def _columns(row: Row, change: Change) -> dict[str, Any]:
    """Return the columns that a change sets, including derived ones."""
    columns: dict[str, Any] = {**change.values}
    if "run_at" in columns:
        columns |= _moved_to(row, max(columns["run_at"], change.at), change.at)
    if "run_at" in columns or "retry" in columns:
        columns |= _retried(row, columns)
    if change.lanes is not None:
        columns |= zip(("lane", "kind_lane", "lane_limits", "label"), change.lanes, strict=True)
    elif "lane" in columns or "kind_lane" in columns:
        lane = columns["lane"] if "lane" in columns else given_lane(row["lane"], row["lane_limits"])
        of_kind = columns["kind_lane"] if "kind_lane" in columns else given_lane(row["kind_lane"], row["lane_limits"])
        columns |= lane_fields(lane, of_kind)
    if "tags" in columns:
        columns["tags"] = to_json(columns["tags"]).decode()
    return columns


def _moved_to(row: Row, run_at: datetime, at: datetime) -> dict[str, Any]:
    state = state_when_moved(State(row["state"]), is_due=run_at <= at)
    columns: dict[str, Any] = {"run_at": run_at, "state": state}
    if state is State.QUEUED and row["state"] in PROMOTABLE:
        columns["prefetched"] = 0  # as when it comes due by itself
    return columns


def _retried(row: Row, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a job's own policy.

    Its time begins when the job is due, and does not restart at a failure.
    """
    retry = columns.get("retry", row["retry"])
    if retry == row["retry"] and (retry is None or row["failures"]):
        return {}
    traits = row["traits"] & ~Trait.RETRY | (Trait.RETRY if retry is not None else 0)
    until = None if retry is None else retry_until(retry, columns.get("run_at", row["run_at"]))
    return {"retry": retry, "retry_until": until, "traits": int(traits)}


def _seal(vault: Vault, rows: Sequence[Row], new: Sequence[dict[str, Any]]) -> None:
    for row, columns in zip(rows, new, strict=True):
        if columns.get("sealed_args") is not None:
            columns["sealed_args"] = JOB_ARGS.seal(vault, columns["sealed_args"], row["id"])


def _number_in_lanes(connection: Connection, rows: Sequence[Row], new: Sequence[dict[str, Any]]) -> None:
    """Put jobs last in the lanes that they enter. A job that leaves all lanes has no place in their order."""
    moved = [columns for row, columns in zip(rows, new, strict=True) if _lanes_after(row, columns) != _lanes_of(row)]
    entering = [columns for columns in moved if _lanes_of(columns)]
    seqs = iter(take_lane_seqs(connection, len(entering)) if entering else ())
    for columns in moved:
        columns["lane_seq"] = next(seqs) if _lanes_of(columns) else None


def _lanes_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    return in_order(row["lane"], row["kind_lane"])


def _lanes_after(row: Row, columns: Mapping[str, Any]) -> tuple[str, ...]:
    return _lanes_of(columns) if "lane" in columns else _lanes_of(row)


def _changed(row: Row, columns: Mapping[str, Any]) -> Changed:
    state = State(columns.get("state", row["state"]))
    before, after = _place(row), _place({**row, **columns})
    if state is State.BLOCKED or before == after:
        return Changed(ChangeResult.YES, state)
    return Changed(ChangeResult.YES, state, before, after)


def _place(row: Mapping[str, Any]) -> Place:
    member = row["arq_id"] or row["id"]
    return Place(member, row["kind"], row["queue"], row["run_at"], row["priority"], _lanes_of(row), row["lane_limits"])


def _update(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, with one statement for all that set the same columns."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_columns.setdefault(tuple(sorted(row)), []).append(_written(row))
    for names, some in by_columns.items():
        connection.execute(_set(connection.dialect.name, names), parameter(some))


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: moment_text(row[name]) for name in _MOMENTS if row.get(name) is not None}


@cache
def _set(dialect: str, names: tuple[str, ...]) -> Any:
    new = unfold(dialect, "new", {name: jobs.c[name].type for name in names})
    values = {name: new.c[name] for name in names if name != "id"}
    return update(jobs).where(found_by(dialect, jobs.c.id, new.c.id), state_is(*UNSTARTED)).values(values)


def _list_anew(connection: Connection, changed: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
    rows = [
        {"job_id": row["id"], "created_at": moment_text(row["created_at"])}
        | {name: columns.get(name, row[name]) for name in _LISTED}
        for row, columns in changed
        if any(name in columns for name in _LISTED)
    ]
    if rows:
        connection.execute(_list(connection.dialect.name), parameter(rows))


@cache
def _list(dialect: str) -> Any:
    names = ("created_at", "job_id", *_LISTED)
    new = unfold(dialect, "new", {name: job_listing.c[name].type for name in names})
    its_id = (job_listing.c.job_id, new.c.job_id)
    is_it = found_by(dialect, job_listing.c.created_at, new.c.created_at, its_id)
    return update(job_listing).where(is_it).values({name: new.c[name] for name in _LISTED})


def _tag_anew(connection: Connection, tagged: Sequence[tuple[Row, tuple[str, ...]]]) -> None:
    if not tagged:
        return
    connection.execute(delete(job_tags).where(job_tags.c.job_id.in_([row["id"] for row, _ in tagged])))
    rows = [
        {"tag": tag, "created_at": row["created_at"], "job_id": row["id"]} for row, tags in tagged for tag in set(tags)
    ]
    if rows:
        connection.execute(insert(job_tags), rows)
