"""What `update_stats` asks of the service."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Count:
    """What is added to the counter of a subject and an event."""

    subject: str
    event: str
    number: int


class Counters(Protocol):
    """Counters that add each job's count once."""

    async def count_once(self, job_id: str, count: Count) -> bool:
        """Add `count` in the same transaction that notes the job as counted; False when it was noted before."""
        ...
