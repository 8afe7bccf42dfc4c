"""Builds the requests. Nothing here sends anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

from postlude.ids import id_of, new_id
from postlude.new_job import NewJob
from postlude.options import seconds
from postlude.writing import written

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from postlude.models import Job
    from postlude.options import Changes, Duration, Filters, FlowOptions, JobOptions
    from postlude.sources import Chunks, Source

MOST_JOBS = 10_000
"""How many jobs the service takes in one request."""
MOST_BYTES = 16 * 1024 * 1024
"""Half of what the service takes in one request."""
_JOBS_PER_S = 1_000
_TWO_HEARTBEATS_S = 30
_JSON = {"content-type": "application/json"}


class Request(NamedTuple):
    """One request to the service. `path` is below the service's URL; it is quoted, and so is `query`."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    content: bytes | None = None
    chunks: Chunks | None = None
    """Produces the content again for each try, instead of `content`."""
    takes_s: float = 0
    """How many seconds longer than others it may take."""
    is_held: bool = False
    """Whether the service holds the answer back until something happens."""


def enqueue(
    kind: str, args: Any = None, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]
) -> Request:
    """Enqueue one job. It has an id, or else the `idempotency_key`: either makes it safe to send again."""
    fields = NewJob(kind, args, **options).fields()
    if idempotency_key is None:
        return _post("/v1/jobs", fields)
    if "id" not in options:  # a new one for each call would make each call another request
        del fields["id"]
    return _post("/v1/jobs", fields, headers={"idempotency-key": idempotency_key})


def enqueue_many(jobs: Iterable[NewJob]) -> Iterator[Request]:
    """Enqueue jobs, in as many requests as they need."""
    parts: list[bytes] = []
    size = 0
    for job in jobs:
        part = written(_new(job).fields())
        if parts and (len(parts) == MOST_JOBS or size + len(part) > MOST_BYTES):
            yield _batch(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield _batch(parts)


def _new(job: NewJob) -> NewJob:
    """Return the job. Raises `TypeError` for anything else, such as the dict of a request."""
    if not isinstance(job, NewJob):
        raise TypeError(f"{type(job).__name__!r} is no new job: pass NewJob(kind, args), with its options by name.")
    return job


def _batch(parts: Sequence[bytes]) -> Request:
    content = b'{"jobs":[%b]}' % b",".join(parts)
    return Request("POST", "/v1/jobs/batch", headers=_JSON, content=content, takes_s=len(parts) / _JOBS_PER_S)


def flow(jobs: Mapping[str, NewJob], **options: Unpack[FlowOptions]) -> Request:
    """Enqueue jobs that wait for one another: each names in `after` what it comes after."""
    named = [{"name": name, **_new(job).fields()} for name, job in jobs.items()]
    told = {name: value for name, value in options.items() if value is not None}
    told.setdefault("id", new_id())
    return _post("/v1/flows", {**told, "jobs": named}, takes_s=len(named) / _JOBS_PER_S)


def get(job: str | Job, *, wait_s: float = 0) -> Request:
    """Look a job up: at once, or when it has ended, after `wait_s` at the latest."""
    query = urlencode({"wait": f"{wait_s:.3f}"}) if wait_s else ""
    return Request("GET", _path(job), query, takes_s=wait_s, is_held=wait_s > 0)


def upload(source: Source, *, expires_in: Duration | None = None, key: str) -> Request:
    """Store a file. The `key` makes it safe to send again."""
    query = urlencode({"expires_in": seconds(expires_in)}) if expires_in is not None else ""
    headers = {**source.headers(), "idempotency-key": key}
    return Request("POST", "/v1/files", query, headers=headers, chunks=source.chunks)


def cancel(job: str | Job) -> Request:
    return Request("POST", _path(job, "cancel"))


def replay(job: str | Job, *, start: Literal["last", "start"] = "last") -> Request:
    """Run a job again: from its last kept step, or from the start."""
    return _post(_path(job, "replay"), {"from": start})


def run_now(job: str | Job) -> Request:
    return Request("POST", _path(job, "run-now"))


def change(job: str | Job, **changes: Unpack[Changes]) -> Request:
    return Request("PATCH", _path(job), headers=_JSON, content=written(changes))


def replay_many(filters: Filters, *, dry_run: bool = False, cursor: str | None = None) -> Request:
    """Run all matching failed and cancelled jobs again, as far as the service gets in one request."""
    place = {"cursor": cursor} if cursor else {}
    return _post("/v1/jobs/replay", {"filter": filters, "dry_run": dry_run, **place})


def list_jobs(
    filters: Filters, *, order: Literal["desc", "asc"] = "desc", page: int = 100, cursor: str | None = None
) -> Request:
    """List a page of jobs."""
    place = [("cursor", cursor)] if cursor else []
    return Request("GET", "/v1/jobs", urlencode([*_query(filters), ("order", order), ("limit", str(page)), *place]))


def events(job: str | Job, *, after: str = "") -> Request:
    """Follow a job's events, from the one after the event with this id."""
    headers = {"accept": "text/event-stream", **({"last-event-id": after} if after else {})}
    return Request("GET", _path(job, "events"), headers=headers, takes_s=_TWO_HEARTBEATS_S, is_held=True)


def _query(filters: Filters) -> Iterator[tuple[str, str]]:
    for name, value in filters.items():
        if isinstance(value, Mapping):  # in quotes, the text "7" is not the number
            yield from ((f"{name}.{path}", written(one).decode()) for path, one in value.items())
        elif isinstance(value, datetime):
            yield name, value.isoformat()
        elif isinstance(value, Iterable) and not isinstance(value, str):
            yield from ((name, str(one)) for one in _at_least_one(name, value))
        elif value is not None:
            yield name, str(value)


def _at_least_one(name: str, values: Iterable[object]) -> list[object]:
    """Refuse an empty filter, which would show everything instead of nothing."""
    if not (several := list(values)):
        raise ValueError(f"The filter {name!r} is empty: leave it out, or name at least one.")
    return several


def _post(path: str, body: Any, headers: Mapping[str, str] = {}, takes_s: float = 0) -> Request:
    return Request("POST", path, headers={**_JSON, **headers}, content=written(body), takes_s=takes_s)


def _path(job: str | Job, *action: str) -> str:
    return "/".join(["/v1/jobs", quote(id_of(job), safe=""), *action])
