"""What a principal is kept from: jobs of other kinds, jobs on other queues, and args that it may not see."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping

from jobs import Catalogue
from jobs.kit.asking import asked_by
from service.access.errors import ArgsHidden
from service.access.principal import ANYBODY, Principal, is_listed
from service.errors import NotForThisKey
from service.ledger.database import Database
from service.ledger.models import Callback, NewJob
from service.ledger.reads.jobs import whose_jobs
from service.ledger.reads.listing import Filter


def note_sender(principal: Principal, jobs: Iterable[NewJob]) -> None:
    """Record on new jobs who sends them, where callers have to say who they are."""
    if principal is not ANYBODY:
        for job in jobs:
            job.enqueued_by = principal.id


def check_jobs(principal: Principal, jobs: Iterable[NewJob], catalogue: Catalogue) -> None:
    """Raise `NotForThisKey` if new jobs, or jobs they enqueue later, are beyond the principal's limits."""
    for job in jobs:
        _check_job(principal, job, catalogue)
        if job.flow is not None:
            raise NotForThisKey("This key is limited, and may not add jobs to a flow: it may hold other kinds.")


def check_flow_jobs(
    principal: Principal, jobs: Iterable[NewJob], callbacks: Iterable[Callback], catalogue: Catalogue
) -> None:
    """Raise `NotForThisKey` if a job of a new flow is beyond the principal's limits."""
    if principal.is_limited:
        for job in jobs:
            _check_job(principal, job, catalogue)
        _check_callbacks(principal, callbacks, catalogue)


def check_asked(principal: Principal, kind: str, args: str, catalogue: Catalogue) -> None:
    """Raise `NotForThisKey` if args, as JSON, ask for jobs beyond the principal's limits."""
    if principal.is_limited:
        for asked in asked_by(catalogue, kind, from_json(args)):
            _check(principal, asked.kind.name, asked.kind.queue, asked.label)


async def unseen_parents(principal: Principal, database: Database, jobs: Iterable[NewJob]) -> list[str]:
    """Return the parents of new jobs that the principal may not see."""
    parents = {parent for job in jobs for parent in job.after}
    if not parents:
        return []
    async with database.connect() as connection:
        return [row["id"] for row in await whose_jobs(connection, parents) if not sees(principal, row)]


def check_queue(principal: Principal, queue: str | None) -> None:
    """Raise `NotForThisKey` if the principal may not move jobs to this queue."""
    if queue is not None and not is_listed(queue, principal.queues):
        raise NotForThisKey(f"This key may not put jobs on the queue {queue!r}.")


def sees(principal: Principal, row: RowMapping) -> bool:
    """Whether the principal may see the job of this row."""
    return principal.may_touch(row["kind"], row["queue"], row["label"])


def restricted(principal: Principal, wanted: Filter) -> Filter:
    """Keep a list within the principal's limits. Raises `ArgsHidden` for a search in hidden args."""
    if wanted.is_searched:
        _check_search(principal)
    if not principal.is_limited:
        return wanted
    return replace(wanted, within_kinds=principal.kinds, within_queues=principal.queues)


def restricted_filter(principal: Principal, filter_sent: str) -> str:
    """Keep an operation's filter, as JSON, within the principal's limits. Raises `ArgsHidden`."""
    told: dict[str, Any] = from_json(filter_sent)
    if not {"args", "metadata", "q"}.isdisjoint(told):
        _check_search(principal)
    if not principal.is_limited:
        return filter_sent
    return to_json(told | {"within_kinds": principal.kinds, "within_queues": principal.queues}).decode()


def _check_search(principal: Principal) -> None:
    if not principal.sees_args:
        raise ArgsHidden("Args, metadata and texts are hidden from you, so they cannot be searched either.")


def _check_callbacks(principal: Principal, callbacks: Iterable[Callback], catalogue: Catalogue) -> None:
    for callback in callbacks:
        template = from_json(callback.template)
        _check(principal, template["kind"], template["queue"], template.get("label"))
        check_asked(principal, template["kind"], template["args"], catalogue)


def _check_job(principal: Principal, job: NewJob, catalogue: Catalogue) -> None:
    _check(principal, job.kind, job.queue, job.label)
    check_asked(principal, job.kind, job.args, catalogue)
    _check_callbacks(principal, job.callbacks, catalogue)
    if job.on_conflict != "return" and (principal.queues is not None or job.label is not None):
        raise NotForThisKey("This key is limited, and the job to be replaced may be beyond its limits.")


def _check(principal: Principal, kind: str, queue: str, label: str | None) -> None:
    if not principal.may_touch(kind, queue, label):
        raise NotForThisKey(f"This key may not enqueue jobs of the kind {label or kind!r} on the queue {queue!r}.")
