"""Lets tests see what is enqueued, without a service: while a recorder is set, jobs go to it and are not sent."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic_core import from_json, to_json

from postlude.answers import Answer
from postlude.ids import new_id
from postlude.requests import Request

Record = Callable[[str, Any, Mapping[str, Any]], None]
"""Takes a job's kind, its args and its options (with its `id`), as JSON would carry them."""

_OWN = {"kind", "args"}
_recorders: list[Record] = []


@contextmanager
def recorded_by(record: Record) -> Iterator[None]:
    """Pass the jobs of all clients in this process to `record`."""
    _recorders.append(record)
    try:
        yield
    finally:
        _recorders.remove(record)


def answer_of(request: Request) -> Answer | None:
    """Record what a request enqueues, and answer as the service would; None if it should be sent."""
    if not _recorders or request.method != "POST" or request.path not in _ANSWERS:
        return None
    body = from_json(request.content or b"{}")
    for job in body.get("jobs", [body]):
        options = {name: value for name, value in job.items() if name not in _OWN}
        _recorders[-1](job["kind"], job["args"], options)
    shown = _ANSWERS[request.path](body)
    return Answer(202, {"content-type": "application/json"}, to_json(shown), request.path)


def _job(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": body.get("id") or new_id(), "kind": body["kind"], "args": body["args"], "state": "queued"}


def _batch(body: dict[str, Any]) -> dict[str, Any]:
    return {"jobs": [_job(job) for job in body["jobs"]]}


def _flow(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": body["id"], "jobs": {job["name"]: job["id"] for job in body["jobs"]}}


_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/v1/jobs": _job,
    "/v1/jobs/batch": _batch,
    "/v1/flows": _flow,
}
