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
from service.options import Options, metadata_json


def new_job(kind: Kind[Any, Any], args: BaseModel, options: Options, now: datetime, **fields: Any) -> NewJob:
    """Make a job's row.

    Raises `ArgsInvalid` when the args are too large, would be read back as something else, or give no lane.
    """
    visible, sealed = written_args(kind, args)
    run_at = options.run_at or (now + options.delay if options.delay else now)
    fields.setdefault("id", new_id())
    if kind.lane is not None or options.lane is not None:
        fields |= lanes_for(kind, args, to_lane(options.lane))
    return NewJob(
        kind=kind.name,
        state=State.SCHEDULED if run_at > now else State.QUEUED,
        queue=options.queue or kind.queue,
        args=visible,
        sealed_args=sealed,
        run_at=max(run_at, now),
        created_at=now,
        max_attempts=options.max_attempts or kind.max_attempts,
        priority=options.priority,
        timeout_s=options.timeout.total_seconds() if options.timeout else None,
        expires_at=now + options.expires_in if options.expires_in else None,
        unique_key=options.unique_key,
        tags=options.tags,
        metadata=metadata_json(options.metadata) if options.metadata else None,
        **fields,
    )


def new_id() -> str:
    """Return an id that sorts by the time it was made."""
    return str(uuid_utils.uuid7())
