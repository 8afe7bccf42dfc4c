"""Follows jobs from the command line: one until it ends, or every new one."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.commands.remote import Remote, Unreachable
from service.commands.text import Job

_POLL_S = 1.0
_RETRY_S = 1.0
_ENDS = ("succeeded", "failed", "cancelled")
# How many of the newest jobs are watched for changes.
_WATCHED = 200


def follow_one(remote: Remote, job_id: str, lost: Callable[[Unreachable], None]) -> Iterator[tuple[str, Job]]:
    """Yield a job's events, by name and content, until it has ended. `lost` is called for each broken connection."""
    last: str | None = None
    while True:
        try:
            for event, told in remote.events(job_id, last):
                last = event.id or last
                yield event.event, told
                if event.event == "state" and told.get("state") in _ENDS:
                    return
        except Unreachable as error:
            # There is no waiting for a service that has never answered.
            if last is None:
                raise
            lost(error)
        time.sleep(_RETRY_S)


def follow_new(remote: Remote, chosen: Mapping[str, Any]) -> Iterator[Job]:
    """Yield each job that is new since the call, and again whenever its state changes. Never ends."""
    known = {job["id"]: _version(job) for job in _newest(remote, chosen, set())}
    while True:
        time.sleep(_POLL_S)
        found = _newest(remote, chosen, set(known))
        for job in reversed(found):
            if known.get(job["id"]) != _version(job):
                known[job["id"]] = _version(job)
                yield job
        while len(known) > 10 * _WATCHED:
            del known[next(iter(known))]


def _newest(remote: Remote, chosen: Mapping[str, Any], known: set[str]) -> list[Job]:
    """Return the newest jobs, newest first: as many as are watched, and every job not seen before."""
    found: list[Job] = []
    for page in remote.pages(chosen, None):
        found += page["jobs"]
        if len(found) >= _WATCHED and (not known or any(job["id"] in known for job in page["jobs"])):
            break
    return found


def _version(job: Job) -> tuple[Any, Any]:
    return job["state"], job["attempt"]
