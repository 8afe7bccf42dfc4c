"""A job as it stands on a queue."""

from datetime import datetime, timedelta
from typing import NamedTuple

from service.queue.codec import milliseconds

LONGEST_ID = 255
# Each step of its priority moves a due job this far ahead.
PRIORITY_STEP = timedelta(minutes=10)
_PRIORITY_STEP_MS = PRIORITY_STEP // timedelta(milliseconds=1)


class Entry(NamedTuple):
    """A job on its queue: at its due time, moved by its priority once that has come."""

    id: str
    kind: str
    queue: str
    due_at: datetime
    priority: int = 0

    def score(self, now: datetime) -> int:
        """Return its score in ms. The score moves by priority when the job is due: a job never runs early."""
        shift_ms = self.priority * _PRIORITY_STEP_MS if self.priority and self.due_at <= now else 0
        return milliseconds(self.due_at) - shift_ms

    def is_low(self, now: datetime) -> bool:
        """Whether it runs only when nothing else is due."""
        return self.priority < 0 and self.due_at <= now
