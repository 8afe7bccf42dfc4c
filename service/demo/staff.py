"""The workers of the day. A deploy replaces all of them some fifty minutes before the day ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

DAY = timedelta(hours=24)
DEPLOYED = timedelta(minutes=52)
# The prefix of the names of the demo's processes.
PREFIX = "demo-"
API = f"{PREFIX}api"
SLOTS = 50
QUEUE = "default"
_OF_EACH = 3
_BEFORE, _AFTER = "2.14.0", "2.14.1"
_STEP_S = 20


class Worker(NamedTuple):
    id: str
    hostname: str
    pid: int
    version: str
    started_at: datetime
    ended_at: datetime
    memory_bytes: int


@dataclass(frozen=True)
class Staff:
    """The workers of the day that ends `now`."""

    now: datetime

    @property
    def began(self) -> datetime:
        return self.now - DAY

    @property
    def deployed(self) -> datetime:
        return self.now - DEPLOYED

    @cached_property
    def workers(self) -> list[Worker]:
        before = [_worker(number, _BEFORE, self.began, self.deployed) for number in range(_OF_EACH)]
        return before + [_worker(number, _AFTER, self.deployed, self.now) for number in range(_OF_EACH)]

    def at_work(self, at: datetime) -> str:
        """Return the id of the worker that takes a job due at this time."""
        first = _OF_EACH if at >= self.deployed else 0
        return self.workers[first + int(at.timestamp()) // _STEP_S % _OF_EACH].id


def _worker(number: int, version: str, started_at: datetime, ended_at: datetime) -> Worker:
    starts = started_at + timedelta(seconds=4 * number)
    told = version.replace(".", "-")
    megabytes = 142 + 9 * number
    return Worker(
        f"{PREFIX}{told}-{number + 1}",
        f"worker-{number + 1}",
        4_120 + number,
        version,
        starts,
        ended_at - timedelta(seconds=3 * (_OF_EACH - number)),
        megabytes << 20,
    )
