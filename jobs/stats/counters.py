"""What `update_stats` needs of the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jobs.kit.outcomes import Discard


@dataclass(frozen=True, slots=True)
class Count:
    """A number to add to the counter of a subject and an event, at the time it happened.

    An `id` counts once for each counter. `unique` names who did it, for counts of different people.
    """

    subject: str
    event: str
    number: int
    at: datetime
    id: str | None = None
    unique: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a job's counts: `repeated` is how many were left out because their ids had counted before."""

    repeated: int


class CounterFull(Discard, ValueError):
    """A count would take its counter beyond ±(2^63 - 1). None of the job's counts is added."""


class Counters(Protocol):
    """Counters that add each job's counts once."""

    async def count_once(self, job_id: str, counts: Sequence[Count]) -> Counted | None:
        """Add `counts`, and record in the same transaction that the job is counted; None if it already was.

        Raises `CounterFull`.
        """
        ...
