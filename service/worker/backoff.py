"""How long to wait before trying again. Pure, but for the dice."""

import random
from collections.abc import Iterator
from datetime import timedelta

from jobs.outcomes import to_timedelta
from jobs.retry import RetryPolicy


def retry_wait(policy: RetryPolicy, failures_before: int) -> timedelta:
    """Draw the wait before the next attempt: the policy's delay ± 20 %, or full jitter between 0 and its bound."""
    if policy.delays:
        delay = policy.delays[min(failures_before, len(policy.delays) - 1)]
        return to_timedelta(delay) * random.uniform(0.8, 1.2)  # noqa: S311
    return policy.longest_wait(failures_before) * random.random()  # noqa: S311 - jitter, not a secret


def outage_waits(first_s: float = 0.2, cap_s: float = 5.0) -> Iterator[float]:
    """Give the waits while a server is away: doubling to a cap, each jittered by half. Without end."""
    wait_s = first_s
    while True:
        yield wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        wait_s = min(wait_s * 2, cap_s)
