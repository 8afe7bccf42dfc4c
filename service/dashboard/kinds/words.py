"""Kinds in words."""

from typing import Any

from jobs import Kind
from jobs.kit.outcomes import to_timedelta
from service.dashboard.text import span_text
from service.words import counted


def retry_words(kind: Kind[Any, Any]) -> str:
    """Say how many attempts a job has, and how far apart."""
    attempts, policy = counted(kind.max_attempts, "attempt"), kind.retry
    if kind.max_attempts == 1:
        return f"{attempts}: it is not retried"
    if policy.delays:
        waits = [span_text(to_timedelta(wait).total_seconds()) for wait in policy.delays[:5]]
        return f"{attempts}, {', '.join(waits)}{', …' if len(policy.delays) > 5 else ''} apart"
    base, cap = (to_timedelta(wait).total_seconds() for wait in (policy.base, policy.cap))
    return f"{attempts}, at most {span_text(base)} apart at first, and {span_text(cap)} at last"


def first_line(description: str) -> str:
    return description.partition("\n")[0].replace("`", "")
