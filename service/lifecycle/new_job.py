"""The row of a job as it enters the ledger."""

from datetime import datetime
from typing import Any

import uuid_utils
from pydantic import BaseModel

from jobs import Kind
from jobs.kit.lane import to_lane
from service.ledger.models import NewJob
from service.ledger.states import State
from service.lifecycle.args import written_args
from service.lifecycle.lanes import lanes_for
from service.options import NO_OPTIONS, Options, metadata_json
from service.own_retry import OwnRetry, retry_until

# A policy that sets nothing.
_LIKE_ITS_KIND = OwnRetry()


def new_job(kind: Kind[Any, Any], args: BaseModel, options: Options, now: datetime, **fields: Any) -> NewJob:
    """Make a job's row.

    Raises `ArgsInvalid` if the args are too large, would be read back as something else, or yield no lane.
    """
    visible, sealed = written_args(kind, args)
    if kind.names_files:
        fields["files"] = kind.files_of(args)
    if options is NO_OPTIONS and kind.lane is None:
        return _plain(kind, visible, sealed, now, **fields)
    run_at = options.run_at or (now + options.delay if options.delay else now)
    fields.setdefault("id", new_id())
    if kind.lane is not None or options.lane is not None:
        fields |= lanes_for(kind, args, to_lane(options.lane))
    if options.retry is not None and options.retry != _LIKE_ITS_KIND:
        fields |= _own_retry(options.retry, max(run_at, now))
    return NewJob(
        kind=kind.name,
        state=State.SCHEDULED if run_at > now else State.QUEUED,
        queue=options.queue or kind.queue,
        args=visible,
        sealed_args=sealed,
        run_at=max(run_at, now),
        created_at=now,
        max_attempts=options.max_attempts or attempts_of(options.retry, kind),
        priority=options.priority,
        timeout_s=options.timeout.total_seconds() if options.timeout else None,
        expires_at=now + options.expires_in if options.expires_in else None,
        unique_key=options.unique_key,
        tags=options.tags,
        metadata=metadata_json(options.metadata) if options.metadata else None,
        unique_for=options.unique_for.total_seconds() if options.unique_for else None,
        on_conflict=options.on_conflict,
        **fields,
    )


def _plain(kind: Kind[Any, Any], args: str, sealed_args: str | None, now: datetime, **fields: Any) -> NewJob:
    """Make the row of a job without options, as most are, without checking each option."""
    job_id = fields.pop("id", None) or new_id()
    own = (job_id, kind.name, State.QUEUED, kind.queue, args, now, now, kind.max_attempts, sealed_args)
    return NewJob(*own, **fields)


def attempts_of(retry: OwnRetry | None, kind: Kind[Any, Any]) -> int:
    """Return how many attempts a job has if its options do not say: by its own delays, or by its kind."""
    return len(retry.delays) + 1 if retry is not None and retry.delays else kind.max_attempts


def _own_retry(retry: OwnRetry, run_at: datetime) -> dict[str, Any]:
    stored = retry.to_json()
    return {"retry": stored, "retry_until": retry_until(stored, run_at)}


def new_id() -> str:
    """Return an id that sorts by the time it was made."""
    return str(uuid_utils.uuid7())
