"""What became of a change to a job that was to be waiting."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from service.ledger.states import State


class Place(NamedTuple):
    """Where a job waits: on its queue under the id `member`, or in its lanes."""

    member: str
    kind: str
    queue: str
    run_at: datetime
    priority: int
    lanes: tuple[str, ...]
    lane_limits: str | None


class ChangeResult(StrEnum):
    """What became of a change to a job that was to be waiting."""

    YES = "changed"
    DUE_ALREADY = "due_already"
    BLOCKED = "blocked"
    STATE_FORBIDS = "state_forbids"
    ARGS_CHANGED = "args_changed"
    NOT_FOUND = "not_found"


class Changed(NamedTuple):
    """The result of a change, and the state that the job has now.

    A job that now waits in another place has moved from `before` to `after`.
    """

    result: ChangeResult
    state: State | None = None
    before: Place | None = None
    after: Place | None = None
