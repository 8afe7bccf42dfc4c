"""What `update_stats` asks of the service."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Count:
    """A number to add to the counter of a subject and an event."""

    subject: str
    event: str
    number: int


class Counters(Protocol):
    """Counters that add each job's count once."""

    async def count_once(self, job_id: str, count: Count) -> bool:
        """Add `count`, and note in the same transaction that the job is counted; False if it was noted before."""
        ...
