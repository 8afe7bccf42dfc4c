"""Jobs enqueued through Postlude's HTTP API, as its callers do."""

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import httpx

from benchmarks.arena import Arena
from benchmarks.stage import INTERVALS_S

BATCH = 1_000


def enqueue(opened: Arena, jobs: Iterable[dict[str, Any]]) -> float:
    """Enqueue jobs in batches, in this order; return how many seconds that took."""
    started = time.monotonic()
    left = iter(jobs)
    with _client(opened) as http:
        while batch := list(islice(left, BATCH)):
            http.post("/v1/jobs/batch", json={"jobs": batch}).raise_for_status()
    return time.monotonic() - started


def trickle(opened: Arena, jobs: Iterable[dict[str, Any]]) -> list[int]:
    """Enqueue jobs one by one at random intervals; return the monotonic_ns of each answer."""
    dice = random.Random(0)
    answered = []
    with _client(opened) as http:
        for job in jobs:
            time.sleep(dice.uniform(*INTERVALS_S))
            http.post("/v1/jobs", json=job).raise_for_status()
            answered.append(time.monotonic_ns())
    return answered


@contextmanager
def _client(opened: Arena) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{opened.port}", trust_env=False, timeout=60) as http:
        yield http
