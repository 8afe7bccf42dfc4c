"""The options of `@job`: each is checked, and refused with what it may be."""

import inspect
from datetime import timedelta
from typing import Any, get_args

from jobs.kit.kind import Runs, is_async
from jobs.kit.lane import LaneOf, to_lane
from jobs.kit.outcomes import to_timedelta
from jobs.kit.refused import Refused, describe
from jobs.kit.retry import RetryPolicy

_LONGEST_NAME = 100
# A due time must be within the calendar.
_LONGEST_WAIT = timedelta(days=3650)
_MOST_ATTEMPTS = 1_000_000
# Python with the service's modules needs this much before the kind has done anything.
_LEAST_MEMORY_MB = 128
_MOST_MEMORY_MB = 1_048_576
DEFAULT_MAX_ATTEMPTS = 5


def checked_name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not _is_storable(name):
        raise Refused(f"{what} has 1 to {_LONGEST_NAME} characters")
    return name


def _is_storable(text: str) -> bool:
    return "\0" not in text and text == text.encode(errors="ignore").decode()


def checked_queue(queue: Any) -> str:
    text = checked_name(queue, "queue")
    if "," in text or text != text.strip():
        raise Refused("queue is a name that POSTLUDE_QUEUES can list: without commas, and spaces around it")
    return text


def checked_timeout(value: Any) -> timedelta:
    timeout = _duration(value, "timeout")
    if timeout <= timedelta(0):
        raise Refused("timeout must be above 0")
    return timeout


def _duration(value: Any, what: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise Refused(f"{what} is a number of seconds or a timedelta, not {value!r}")
    try:
        duration = to_timedelta(value)
    except (ValueError, OverflowError):
        duration = None
    if duration is None or duration > _LONGEST_WAIT:
        raise Refused(f"{what} must be a finite number of seconds, at most {_LONGEST_WAIT.days} days, not {value!r}")
    return duration


def checked_max_attempts(value: Any, retry: RetryPolicy) -> int:
    if value is None:
        return len(retry.delays) + 1 if retry.delays else DEFAULT_MAX_ATTEMPTS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ATTEMPTS:
        raise Refused(f"max_attempts is a whole number from 1 to {_MOST_ATTEMPTS:,}, not {value!r}")
    return value


def checked_retry(value: Any) -> RetryPolicy:
    policy = RetryPolicy() if value is None else value
    if not isinstance(policy, RetryPolicy):
        raise Refused(f"retry is a RetryPolicy, not {value!r}")
    return policy


def checked_runs(value: Any, function: Any) -> Runs:
    own: Runs = "loop" if is_async(function) else "thread"
    if value not in (None, "process", own):
        if value not in get_args(Runs):
            raise Refused(f'runs is "process" or left out, not {value!r}')
        raise Refused(
            "an `async def` runs on the loop: leave out runs=, or write `def`, which runs in a thread"
            if own == "loop"
            else "a `def` runs in a thread: leave out runs=, or write `async def`, which runs on the loop"
        )
    return value or own


def checked_memory_mb(value: Any, runs: Any) -> int | None:
    if value is None:
        return None
    if runs != "process":
        raise Refused('memory_mb is for kinds with runs="process": only a separate process can be limited')
    if isinstance(value, bool) or not isinstance(value, int) or not _LEAST_MEMORY_MB <= value <= _MOST_MEMORY_MB:
        raise Refused(
            f"memory_mb is a whole number of megabytes from {_LEAST_MEMORY_MB} to {_MOST_MEMORY_MB:,}, not {value!r}"
        )
    return value


def checked_lane(value: Any) -> LaneOf | None:
    if not callable(value):
        return _constant_lane(value)
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        raise Refused("lane is a plain function that returns at once: write `def` or a lambda, not `async def`")
    try:
        inspect.signature(value).bind(object())
    except TypeError as error:
        raise Refused(f"lane is a function of only the args, but cannot be called so ({describe(error)})") from error
    except ValueError:  # some builtins have no signature
        pass
    return value  # type: ignore[no-any-return]


def _constant_lane(value: Any) -> LaneOf | None:
    try:
        return to_lane(value)
    except ValueError as error:
        raise Refused(f"lane: {error}") from error
