"""A request becomes jobs: the moment from which Postlude owes them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, update

from service.ledger.models import Enqueue, Enqueued, KeyHeld
from service.ledger.records.conflicts import NO_CONFLICTS, Conflicts, conflicts_of, may_conflict, settle
from service.ledger.records.idempotency import read_keys, take_keys
from service.ledger.records.inserted import insert_jobs
from service.ledger.records.linked import Links, are_linked, links_of, record_links
from service.ledger.records.tallied import tally
from service.tables import idempotency_keys


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
    tally(
        connection,
        ((requests[0].writer, job.counted_as, "enqueued") for job in created),
        requests[0].jobs[0].created_at,
    )
    results = [
        Enqueued(held=holder)
        if holder
        else Enqueued(request.jobs, tuple(ids[job.id] for job in request.jobs), found.created(request, ids))
        for request, holder in zip(requests, held, strict=True)
    ]
    _correct_answers(connection, requests, results)
    if found is not NO_CONFLICTS and open_requests:
        results[held.index(None)].changed = settle(connection, open_requests, found, ids)
    if links is not None and open_requests:
        results[held.index(None)].followed = record_links(connection, open_requests, links, ids, created)
    return results


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


def _correct_answers(connection: Connection, requests: Sequence[Enqueue], results: Sequence[Enqueued]) -> None:
    """Where unique keys led a request to the jobs of others, tell a repetition of these too.

    A single job is then answered as it is at that time; the answer of a batch or a flow names other ids.
    """
    for request, result in zip(requests, results, strict=True):
        if request.key is None or result.held is not None or len(result.created) == len(request.jobs):
            continue
        told: dict[str, str | None] = {"answer": None, "job_id": result.ids[0]}
        if len(request.jobs) > 1 or request.flow is not None:
            told = {"answer": _renamed(request.key.answer, request, result)}
        row = idempotency_keys.c.key == request.key.key
        connection.execute(update(idempotency_keys).where(row).values(told))


def _renamed(answer: str, request: Enqueue, result: Enqueued) -> str:
    for job, job_id in zip(request.jobs, result.ids, strict=True):
        answer = answer.replace(job.id, job_id)
    return answer
