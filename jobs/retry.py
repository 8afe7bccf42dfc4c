"""When to try again: exponential backoff with full jitter and a cap, chosen by exception where a kind says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from jobs.outcomes import Seconds, to_timedelta


@dataclass(frozen=True)
class RetryPolicy:
    """The wait before the next attempt is random between 0 and min(`cap`, `base` * 2**n), n failures before this one.

    `never` lists exceptions that end the job at once; `by_exception` gives others a policy of their own.
    Both match subclasses; of several matches the most specific class counts.
    Source: "Exponential Backoff and Jitter", AWS Architecture Blog (full jitter).
    """

    base: Seconds = 2.0
    cap: Seconds = 3600.0
    never: tuple[type[Exception], ...] = ()
    by_exception: Mapping[type[Exception], "RetryPolicy"] = field(default_factory=dict)

    def for_error(self, error: BaseException) -> "RetryPolicy | None":
        """Find the policy for `error`; None means: do not try again."""
        # Compared by identity: an author's metaclass may refuse to be hashed, or to be compared.
        for cls in type(error).__mro__:
            if any(one is cls for one in self.never):
                return None
            for one, policy in self.by_exception.items():
                if one is cls:
                    return policy
        return self

    def longest_wait(self, failures_before: int) -> timedelta:
        """Give the upper bound of the jittered wait after one more failure."""
        base_s, cap_s = to_timedelta(self.base).total_seconds(), to_timedelta(self.cap).total_seconds()
        # Beyond this many doublings a float overflows; every cap is reached long before.
        doublings = min(failures_before, 500)
        return timedelta(seconds=min(cap_s, base_s * 2.0**doublings))
