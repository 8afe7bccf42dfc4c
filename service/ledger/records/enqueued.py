"""A request becomes jobs: the moment from which Postlude owes them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from sqlalchemy import Connection, func, select, update

from service.ledger.models import Enqueue, Enqueued, IdempotencyKey, KeyHeld, NewJob, Standing
from service.ledger.records.conflicts import NO_CONFLICTS, Conflicts, conflicts_of, may_conflict, settle
from service.ledger.records.failed import record_refused_jobs
from service.ledger.records.idempotency import read_keys, take_keys
from service.ledger.records.inserted import insert_jobs
from service.ledger.records.linked import Links, are_linked, links_of, record_links
from service.ledger.records.tallied import Event, tally
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.states import State
from service.tables import idempotency_keys, jobs


def record_enqueued(connection: Connection, requests: Sequence[Enqueue]) -> list[Enqueued]:
    """Record requests. One whose idempotency key belongs to an earlier request records nothing.

    Nor does one that names jobs, or a flow, that there are not.
    """
    if not are_linked(requests):
        return _record_free(connection, requests)
    links = links_of(connection, requests)
    unknown = [links.unknown_to(request) for request in requests]
    known = [links.plan(request) for request, names in zip(requests, unknown, strict=True) if not names]
    recorded = iter(_record_free(connection, known, links) if known else ())
    lost = [request for request, names in zip(requests, unknown, strict=True) if names]
    holders = read_keys(connection, [request.key.key for request in lost if request.key is not None])
    return [
        _refused(request, Enqueued(unknown=names), holders) if names else next(recorded)
        for request, names in zip(requests, unknown, strict=True)
    ]


def _record_free(connection: Connection, requests: Sequence[Enqueue], links: Links | None = None) -> list[Enqueued]:
    """Record the requests in whose way nothing stands, and refuse the others."""
    if not may_conflict(requests):
        return _record(connection, requests, links)
    found = conflicts_of(connection, requests)
    free = [request for request, refusal in zip(requests, found.refusals, strict=True) if refusal is None]
    recorded = iter(_record(connection, free, links, found) if free else ())
    kept = [request for request, refusal in zip(requests, found.refusals, strict=True) if refusal is not None]
    holders = read_keys(connection, [request.key.key for request in kept if request.key is not None])
    return [
        next(recorded) if refusal is None else _refused(request, Enqueued(refusal=refusal), holders)
        for request, refusal in zip(requests, found.refusals, strict=True)
    ]


def _record(
    connection: Connection,
    requests: Sequence[Enqueue],
    links: Links | None = None,
    found: Conflicts = NO_CONFLICTS,
) -> list[Enqueued]:
    holders = _take_keys(connection, requests)
    held = [_held(request, holders) for request in requests]
    open_requests = [request for request, holder in zip(requests, held, strict=True) if holder is None]
    ids, created = insert_jobs(connection, [job for request in open_requests for job in found.to_insert(request)])
    ids |= found.standing
    tally(connection, _events(requests[0].writer, created), requests[0].jobs[0].created_at)
    results = [
        Enqueued(held=holder)
        if holder
        else Enqueued(request.jobs, tuple(ids[job.id] for job in request.jobs), found.created(request, ids))
        for request, holder in zip(requests, held, strict=True)
    ]
    if found is not NO_CONFLICTS and open_requests:
        results[held.index(None)].changed = settle(connection, open_requests, found, ids)
    if links is not None and open_requests:
        results[held.index(None)].followed = record_links(connection, open_requests, links, ids, created)
    record_refused_jobs(connection, requests[0].writer, created)
    _tell_standing(connection, requests, results)
    return results


def _events(writer: str, created: Sequence[NewJob]) -> Iterator[Event]:
    """Name what is counted. Jobs that are cancelled because a parent has failed are counted with their links."""
    for job in created:
        yield writer, job.counted_as, "enqueued"
        if job.state is State.FAILED:
            yield writer, job.counted_as, State.FAILED


def _refused(request: Enqueue, refusal: Enqueued, holders: Mapping[str, KeyHeld]) -> Enqueued:
    """Refuse a request, unless it was recorded while nothing stood in its way."""
    holder = holders.get(request.key.key) if request.key is not None else None
    return refusal if holder is None else Enqueued(held=holder)


def _take_keys(connection: Connection, requests: Sequence[Enqueue]) -> dict[str, KeyHeld]:
    """Take the idempotency keys that are free or expired; return whose each key is now."""
    first: dict[str, Enqueue] = {}
    for request in requests:
        if request.key is not None:
            first.setdefault(request.key.key, request)
    named = [(request.key, request.jobs[0].id) for request in first.values() if request.key is not None]
    return take_keys(connection, named) if named else {}


def _held(request: Enqueue, holders: Mapping[str, KeyHeld]) -> KeyHeld | None:
    holder = holders[request.key.key] if request.key else None
    return None if holder is None or holder.job_id == request.jobs[0].id else holder


def _tell_standing(connection: Connection, requests: Sequence[Enqueue], results: Sequence[Enqueued]) -> None:
    """Where unique keys or ids led requests to other jobs, tell these and their repetitions what the jobs are.

    What became of jobs that come after others is also told only now.
    """
    recorded = [(request, result) for request, result in zip(requests, results, strict=True) if result.held is None]
    led = [(request, result) for request, result in recorded if len(result.created) < len(request.jobs)]
    others = [[job_id for job_id in result.ids if job_id not in result.created] for _, result in led]
    standing = _standing(connection, list(chain.from_iterable(others))) if led else {}
    for (_, result), ids in zip(led, others, strict=True):
        # On Postgres, one that has ended may have been deleted meanwhile.
        result.standing = {job_id: standing[job_id] for job_id in ids if job_id in standing}
    for request, result in recorded:
        if request.key is not None and _differs(request, result):
            row = idempotency_keys.c.key == request.key.key
            connection.execute(update(idempotency_keys).where(row).values(_told(request.key, result)))


def _differs(request: Enqueue, result: Enqueued) -> bool:
    """Whether a request has another answer than its jobs had suggested."""
    is_led = len(result.created) < len(request.jobs)
    answers_itself = request.key is not None and request.key.answer_for is not None
    return is_led or (answers_itself and any(job.after for job in request.jobs))


def _told(key: IdempotencyKey, result: Enqueued) -> dict[str, str | None]:
    """Return what to tell a repetition. A single job is answered as it is at that time."""
    if key.answer_for is None:
        return {"answer": None, "job_id": result.ids[0]}
    return {"answer": key.answer_for(result).decode()}


def _standing(connection: Connection, ids: Sequence[str]) -> dict[str, Standing]:
    label = func.coalesce(jobs.c.label, jobs.c.kind)
    is_it = is_one_of(connection.dialect.name, jobs.c.id)
    asked = select(jobs.c.id, jobs.c.kind, jobs.c.state, jobs.c.queue, label).where(is_it)
    rows = connection.execute(asked, ids_parameter(connection.dialect.name, ids))
    return {job_id: Standing(kind, State(state), queue, label) for job_id, kind, state, queue, label in rows}
