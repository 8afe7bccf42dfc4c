"""How long to wait before trying again. Pure, except for chance."""

import random
from collections.abc import Iterator
from datetime import timedelta

from jobs.kit.retry import RetryPolicy


def retry_wait(policy: RetryPolicy, failures_before: int) -> timedelta:
    """Draw the wait before the next attempt, between the policy's bounds."""
    shortest, longest = policy.shortest_wait(failures_before), policy.longest_wait(failures_before)
    return shortest + (longest - shortest) * random.random()  # nosec B311  # noqa: S311 - jitter, not a secret


def outage_waits(first_s: float = 0.2, cap_s: float = 5.0) -> Iterator[float]:
    """Yield waits for a server that is away, without end: doubling up to a cap, each jittered by half."""
    wait_s = first_s
    while True:
        yield wait_s * random.uniform(0.5, 1.0)  # nosec B311  # noqa: S311
        wait_s = min(wait_s * 2, cap_s)
