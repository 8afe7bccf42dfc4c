"""Who makes calls to `benchmarks.receiver`, and by which means each holds them back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from benchmarks.arena import Arena, wait_until
from benchmarks.contenders import ARDIQ, Contender

SLOTS = 100
PROCESSES = 8  # of RQ, each of which performs one job at a time
FEW_FROM = 1_000_000

# Peers, each with its best means to keep two keys apart. Those without any run plainly.
BY_KEY = (
    Contender("docket, ConcurrencyLimit", "docket", limit="concurrency"),
    Contender("Dramatiq, ConcurrentRateLimiter", "dramatiq", "calls", limit="concurrency", in_quick=False),
    Contender("RQ, RateLimit", "rq", "calls", slots=PROCESSES, limit="concurrency", in_quick=False),
    Contender("PgQueuer, concurrency_limit", "pgqueuer", "calls", limit="concurrency", in_quick=False),
    Contender("ardiq, limits", "ardiq", limit="concurrency", environment=ARDIQ, in_quick=False),
    Contender("Celery, a queue for each", "celery", "threads", limit="queues", in_quick=False),
    Contender("tuned arq", "arq", "tuned", own_python=True, in_quick=False),
    Contender("SAQ", "saq", in_quick=False),
    Contender("Taskiq", "taskiq", in_quick=False),
    Contender("Huey", "huey", "calls", in_quick=False),
)


@dataclass(frozen=True)
class Calls:
    """So many calls of a path of a host, enqueued under one key."""

    key: str
    host: str
    path: str
    count: int
    at_once: bool = True

    def enqueue(self, opened: Arena, receiver: httpx.URL, first: int) -> list[tuple[int, int]]:
        """Return the index of each, and the monotonic_ns at which the library called it enqueued."""
        url = receiver.copy_with(host=self.host, path=f"/{self.path}")
        pace = "at_once" if self.at_once else "one_by_one"
        enqueued: list[tuple[int, int]] = opened.ask("call", self.key, url, first, self.count, pace)
        return enqueued


def waits_behind(
    opened: Arena, receiver: httpx.URL, stamps: dict[int, int], many: Calls, few: Calls, limit_s: float
) -> list[float]:
    """Start the workers on the many; enqueue the few a second after the first call arrived.

    Return how many ms each of the few waited until it arrived, at most `limit_s`.
    """
    many.enqueue(opened, receiver, 0)
    opened.work()
    wait_until(lambda: bool(stamps), "the first call")
    time.sleep(1)
    enqueued = few.enqueue(opened, receiver, FEW_FROM)
    _wait_at_most(limit_s, lambda: all(index in stamps for index, _ in enqueued))
    latest = time.monotonic_ns()
    return [(stamps.get(index, latest) - at_ns) / 1e6 for index, at_ns in enqueued]


def many_per_s(stamps: dict[int, int]) -> float:
    """Return how many of the many arrived a second, up to the last of the few, or to the end where none arrived."""
    last = max((at_ns for index, at_ns in stamps.items() if index >= FEW_FROM), default=max(stamps.values()))
    arrived = [at_ns for index, at_ns in stamps.items() if index < FEW_FROM and at_ns <= last]
    return len(arrived) / (last - min(arrived)) * 1e9


def _wait_at_most(limit_s: float, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + limit_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
