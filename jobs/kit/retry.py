"""When to retry: backoff with jitter, or a list of waits; chosen by exception if a kind says so."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from jobs.kit.outcomes import Seconds, to_timedelta

BASE_S = 2.0
CAP_S = 3600.0
JITTER = 0.2
LONGEST_WAIT = timedelta(days=365)


@dataclass(frozen=True)
class RetryPolicy:
    """The wait before the next attempt is random between 0 and min(`cap`, `base` * 2**n), n failures before this one.

    With `delays` the wait is the (n+1)th delay instead, up to 20 % shorter or longer, and the last delay repeats;
    unless the kind says otherwise, a job then has one more attempt than there are delays.
    `never` lists exceptions that end the job at once; `by_exception` gives others their own policy.
    Both match subclasses; of several matches the most specific class counts. Raises `ValueError`.
    Source: "Exponential Backoff and Jitter", AWS Architecture Blog (full jitter).
    """

    base: Seconds = BASE_S
    cap: Seconds = CAP_S
    never: tuple[type[Exception], ...] = ()
    by_exception: Mapping[type[Exception], "RetryPolicy"] = field(default_factory=dict)
    delays: Sequence[Seconds] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "delays", tuple(self.delays))
        if self.delays and (self.base, self.cap) != (BASE_S, CAP_S):
            raise ValueError("RetryPolicy: delays name each wait; leave out base and cap")
        for wait in (self.base, self.cap, *self.delays):
            _check_wait(wait)
        # Only a chosen base is refused: any cap bounds the default.
        if self.base != BASE_S and to_timedelta(self.base) > to_timedelta(self.cap):
            raise ValueError("RetryPolicy: base is above cap; no wait is longer than cap, so raise it or lower base")
        self._check_errors()

    def _check_errors(self) -> None:
        if not isinstance(self.never, tuple) or not all(map(_is_error, self.never)):
            raise ValueError("RetryPolicy: never is a tuple of exceptions, e.g. never=(ValueError,)")
        policies = self.by_exception
        if not isinstance(policies, Mapping) or not all(map(_is_error, policies)):
            raise ValueError(
                "RetryPolicy: by_exception maps exceptions to policies, e.g. {OSError: RetryPolicy(base=1)}"
            )
        if not all(isinstance(policy, RetryPolicy) for policy in policies.values()):
            raise ValueError("RetryPolicy: the values of by_exception are RetryPolicy, too")

    def for_error(self, error: BaseException) -> "RetryPolicy | None":
        """Return the policy for `error`, or None if it ends the job."""
        # Compared by identity: an author's metaclass may refuse hashing or comparing.
        for cls in type(error).__mro__:
            if any(one is cls for one in self.never):
                return None
            for one, policy in self.by_exception.items():
                if one is cls:
                    return policy
        return self

    def shortest_wait(self, failures_before: int) -> timedelta:
        """Return the lower bound of the jittered wait after one more failure."""
        return self._delay(failures_before) * (1 - JITTER) if self.delays else timedelta(0)

    def longest_wait(self, failures_before: int) -> timedelta:
        """Return the upper bound of the jittered wait after one more failure."""
        if self.delays:
            return self._delay(failures_before) * (1 + JITTER)
        base_s, cap_s = to_timedelta(self.base).total_seconds(), to_timedelta(self.cap).total_seconds()
        # Beyond this many doublings a float overflows; every cap is reached long before.
        doublings = min(failures_before, 500)
        return timedelta(seconds=min(cap_s, base_s * 2.0**doublings))

    def _delay(self, failures_before: int) -> timedelta:
        return to_timedelta(self.delays[min(failures_before, len(self.delays) - 1)])


def _check_wait(wait: Seconds) -> None:
    if isinstance(wait, timedelta):
        wait = wait.total_seconds()
    if isinstance(wait, bool) or not isinstance(wait, int | float):
        raise ValueError(f"RetryPolicy: a wait is a number of seconds or a timedelta, not {wait!r}")  # noqa: TRY004
    if not (math.isfinite(wait) and 0 <= wait <= LONGEST_WAIT.total_seconds()):
        raise ValueError(f"RetryPolicy: a wait is between 0 s and {LONGEST_WAIT.days} days, not {wait!r}")


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
