"""Conflicts of new jobs: ids that clients have sent before, and unique keys that other jobs hold."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, String, select, text

from service.errors import Conflict, IdTaken, UniqueKeyRunning, UniqueKeyTaken
from service.ledger.changes import Changed
from service.ledger.models import Enqueue, NewJob
from service.ledger.records.changed import Change, Values, apply, locked
from service.ledger.records.inserted import holders_of
from service.ledger.rows import parameter, unfold
from service.ledger.states import UNSTARTED, State
from service.tables import TERMINAL_SQL, jobs


class Overtaken(ValueError):
    """Another writer has changed what this decision was based on: nothing is recorded, and the caller tries again."""


@dataclass(slots=True)
class Conflicts:
    """What was found before the insertion.

    `refusals` has one entry for each request, None if it may be recorded. `standing` has the ids that stand for jobs
    that are not inserted. `senders` are the requests that insert the ids that clients made.
    """

    refusals: list[Conflict | None] = field(default_factory=list)
    standing: dict[str, str] = field(default_factory=dict)
    senders: dict[str, Enqueue] = field(default_factory=dict)

    def to_insert(self, request: Enqueue) -> Iterable[NewJob]:
        """Return the jobs that this request inserts: each id once, by the request that was first."""
        if self is NO_CONFLICTS:
            return request.jobs
        first = [job for job in request.jobs if self.senders.setdefault(job.id, request) is request]
        once = {job.id: job for job in reversed(first)}
        return [job for job in request.jobs if once.get(job.id) is job and job.id not in self.standing]

    def created(self, request: Enqueue, ids: Mapping[str, str]) -> frozenset[str]:
        """Return the ids of the jobs that are new by this request."""
        if self is NO_CONFLICTS:
            return frozenset([job.id for job in request.jobs if ids[job.id] == job.id])
        return frozenset(job.id for job in self.to_insert(request) if ids[job.id] == job.id)


NO_CONFLICTS = Conflicts()
_asked_of = attrgetter("request_hash", "on_conflict", "unique_for")
_NOTHING_ASKED = (None, "return", None)


def may_conflict(requests: Sequence[Enqueue]) -> bool:
    """Whether any job sets more about its unique key than the key, or has an id that its client made."""
    return any(_asked_of(job) != _NOTHING_ASKED for request in requests for job in request.jobs)


def conflicts_of(connection: Connection, requests: Sequence[Enqueue]) -> Conflicts:
    """Look for the conflicts of requests."""
    asking = [job for request in requests for job in request.jobs if _asked_of(job) != _NOTHING_ASKED]
    hashes = _hashes(connection, [job.id for job in asking if job.request_hash is not None])
    holders = _holders_of(connection, [job for job in asking if job.unique_key is not None])
    free = [job for job in asking if job.unique_for is not None and job.unique_key not in holders]
    ended = _ended_lately(connection, free)
    found, sent = Conflicts(), dict[str, str | None]()
    for request in requests:
        own: dict[str, str | None] = {job.id: job.request_hash for job in reversed(request.jobs) if job.request_hash}
        refusal = _refusal(request, own | sent | hashes, hashes.keys() | sent.keys(), holders)
        found.refusals.append(refusal)
        sent = sent if refusal else own | sent
    found.standing = {job.id: job.id for job in asking if job.id in hashes}
    found.standing |= {job.id: ended[job.unique_key] for job in free if job.unique_key in ended}
    return found


def _refusal(
    request: Enqueue,
    hashes: Mapping[str, str | None],
    known: Collection[str],
    holders: Mapping[str | None, tuple[str, State, str]],
) -> Conflict | None:
    for job in request.jobs:
        if job.request_hash is not None and hashes[job.id] != job.request_hash:
            return IdTaken(f"The id {job.id} was sent with another request. Make a new id for this one.")
        if job.on_conflict == "return" or job.unique_key not in holders or job.id in known:
            continue
        holder, state, kind = holders[job.unique_key]
        if kind != job.kind:
            return UniqueKeyTaken(
                f"The unique_key {job.unique_key!r} is held by job {holder} of the kind {kind}: one of the kind"
                f" {job.kind} cannot take its place."
            )
        if state not in UNSTARTED:
            return UniqueKeyRunning(
                f"Job {holder} with the unique_key {job.unique_key!r} runs already: it can no longer be changed. Send"
                " the request again when it has ended."
            )
    return None


def settle(
    connection: Connection, requests: Sequence[Enqueue], found: Conflicts, ids: Mapping[str, str]
) -> tuple[Changed, ...]:
    """Let waiting holders of unique keys take over the fields of the new jobs that they stand for.

    Raises `Overtaken` if what was found before the insertion is no longer true.
    """
    asking = [job for request in requests for job in request.jobs if _asked_of(job) != _NOTHING_ASKED]
    left = [job for job in asking if job.id not in found.standing]
    inserted = [job for job in left if ids[job.id] == job.id]
    _check_ids(connection, inserted)
    if _ended_lately(connection, [job for job in inserted if job.unique_for is not None]):
        raise Overtaken("a job has ended that holds the unique key for longer")
    return _replace(connection, [job for job in left if job.on_conflict != "return" and ids[job.id] != job.id], ids)


def _replace(connection: Connection, wanted: Sequence[NewJob], ids: Mapping[str, str]) -> tuple[Changed, ...]:
    """Give each holder the fields of the latest of its new jobs."""
    latest: dict[str, Change] = {}
    for job in wanted:
        change = _change_by(job, ids[job.id])
        before = latest[change.id].values if change.id in latest else Values()
        latest[change.id] = replace(change, values={**before, **change.values})
    rows = locked(connection, list(latest)) if latest else {}
    for job in wanted:
        row = rows.get(ids[job.id])
        if row is None or row["state"] not in UNSTARTED or row["kind"] != job.kind:
            raise Overtaken("a holder of a unique key has been started, or is another")
    return tuple(apply(connection, [(row, latest[job_id]) for job_id, row in rows.items()])) if rows else ()


def _change_by(job: NewJob, holder: str) -> Change:
    values: Values = {
        "priority": job.priority,
        "queue": job.queue,
        "args": job.args,
        "sealed_args": job.sealed_args,
        "max_attempts": job.max_attempts,
        "timeout_s": job.timeout_s,
        "tags": job.tags,
        "metadata": job.metadata,
        "trace_context": job.trace_context,
        "retry": job.retry,
        "unique_for": job.unique_for,
    }
    if job.on_conflict == "debounce":
        values |= {"run_at": job.run_at, "expires_at": job.expires_at}
    lanes = (job.lane, job.kind_lane, job.lane_limits, job.label)
    return Change(holder, job.created_at, values, lanes=lanes, files=job.files)


def _check_ids(connection: Connection, inserted: Sequence[NewJob]) -> None:
    """Raise `Overtaken` if another request has taken an id since it was looked for."""
    made = {job.id: job.request_hash for job in inserted if job.request_hash is not None}
    if made and _hashes(connection, list(made)) != made:
        raise Overtaken("another request has taken the id")


def _hashes(connection: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    if not ids:
        return {}
    rows = connection.execute(select(jobs.c.id, jobs.c.request_hash).where(jobs.c.id.in_(ids)))
    return {row.id: row.request_hash for row in rows}


def _holders_of(connection: Connection, asking: Sequence[NewJob]) -> dict[str | None, tuple[str, State, str]]:
    """Return id, state and kind of the live jobs that hold unique keys."""
    ids = holders_of(connection, {job.unique_key for job in asking if job.unique_key}) if asking else {}
    columns = (jobs.c.unique_key, jobs.c.id, jobs.c.state, jobs.c.kind)
    rows = connection.execute(select(*columns).where(jobs.c.id.in_(ids.values()))) if ids else ()
    return {row.unique_key: (row.id, State(row.state), row.kind) for row in rows}


def _ended_lately(connection: Connection, asking: Sequence[NewJob]) -> dict[str | None, str]:
    """Return, by unique key, the ended jobs that still hold it.

    For each key, the job that ended last is enough: any other with `unique_for` would have kept it from being enqueued.
    """
    if not asking:
        return {}
    at = {job.unique_key: job.created_at for job in asking}
    keys = parameter([{"key": key} for key in at])
    latest = [job_id for _, job_id in connection.execute(_latest(connection.dialect.name), keys) if job_id is not None]
    columns = (jobs.c.unique_key, jobs.c.id, jobs.c.finished_at, jobs.c.unique_for)
    rows = connection.execute(select(*columns).where(jobs.c.id.in_(latest))) if latest else ()
    return {row.unique_key: row.id for row in rows if _holds(row, at[row.unique_key])}


def _holds(row: Any, at: datetime) -> bool:
    return row.finished_at is not None and row.finished_at + timedelta(seconds=row.unique_for) > at


@cache
def _latest(dialect: str) -> Any:
    wanted = unfold(dialect, "wanted", {"key": String(255)})
    ended = (jobs.c.unique_key == wanted.c.key, jobs.c.unique_for.is_not(None), text(TERMINAL_SQL))
    latest = select(jobs.c.id).where(*ended).order_by(jobs.c.finished_at.desc()).limit(1)
    return select(wanted.c.key, latest.scalar_subquery())
