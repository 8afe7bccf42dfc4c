"""A job's entry on a queue."""

from datetime import datetime, timedelta
from typing import NamedTuple

from service.lane_rules import STRICT_LIMITS
from service.queue.codec import milliseconds

LONGEST_ID = 255
# Each step of priority moves a due job this far ahead.
PRIORITY_STEP = timedelta(minutes=10)
_PRIORITY_STEP_MS = PRIORITY_STEP // timedelta(milliseconds=1)


class Entry(NamedTuple):
    """A job on its queue: at its due time, moved by its priority once it is due.

    A job in `lanes` waits in them. `lane_limits`, from its row, has the limits that its request and its kind gave them.
    """

    id: str
    kind: str
    queue: str
    due_at: datetime
    priority: int = 0
    lanes: tuple[str, ...] = ()
    lane_limits: str | None = None

    @property
    def brings_order(self) -> bool:
        """Whether its request or its kind gave one of its lanes a strict order."""
        return self.lane_limits is not None and STRICT_LIMITS in self.lane_limits

    def score(self, now: datetime) -> int:
        """Return the score in ms. Priority moves it only once the job is due, so no job runs early."""
        shift_ms = self.priority * _PRIORITY_STEP_MS if self.priority and self.due_at <= now else 0
        return milliseconds(self.due_at) - shift_ms

    def is_low(self, now: datetime) -> bool:
        """Whether the job runs only when nothing else is due."""
        return self.priority < 0 and self.due_at <= now
