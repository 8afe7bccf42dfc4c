"""A lane: the jobs that share limits, under one key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from jobs.kit.outcomes import Seconds, to_timedelta

LONGEST_KEY = 255
LONGEST_LABEL = 250  # a rule pauses it as `kind:<label>`
MOST_CONCURRENCY = 10_000
MOST_PER_RATE = 1_000_000
SHORTEST_PER = timedelta(milliseconds=1)
LONGEST_PER = timedelta(days=1)
# Rules under these names pause kinds and queues.
RESERVED_PREFIXES = ("kind:", "queue:")


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` starts in `per` seconds; after a quiet time, `limit` starts may come at once. Raises `ValueError`."""

    limit: int
    per: Seconds = 1.0

    def __post_init__(self) -> None:
        if not is_whole(self.limit, MOST_PER_RATE):
            raise ValueError(f"a rate's limit is a whole number from 1 to {MOST_PER_RATE:,}, not {self.limit!r}")
        if not _is_period(self.per):
            raise ValueError(f"a rate's per is a number of seconds from 0.001 to 86,400, not {self.per!r}")

    @property
    def per_s(self) -> float:
        return to_timedelta(self.per).total_seconds()


@dataclass(frozen=True, slots=True)
class Lane:
    """The lane `key`, and its limits: the service decides what is left out. Raises `ValueError`.

    At most `concurrency` of its jobs run at once, and they start at `rate`. With `order="strict"` they run one at a
    time, in the order of enqueueing: a job that waits for its next attempt holds up the rest.

    Only a kind's own lane has the other two. Its breaker pauses it for at most `longest_pause`. A job counts as its
    `label`, which has a dot, wherever kinds are shown, counted or paused.
    """

    key: str
    concurrency: int | None = None
    rate: Rate | None = None
    order: Literal["strict"] | None = None
    longest_pause: Seconds | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        check_key(self.key)
        if self.longest_pause is not None and not _is_period(self.longest_pause):
            raise ValueError(f"a lane's longest_pause is a number of seconds, not {self.longest_pause!r}")
        if self.label is not None:
            _check_label(self.label)
        if self.concurrency is not None and not is_whole(self.concurrency, MOST_CONCURRENCY):
            raise ValueError(
                f"a lane's concurrency is a whole number from 1 to {MOST_CONCURRENCY:,}, not {self.concurrency!r}"
            )
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise ValueError(f"a lane's rate is a Rate, e.g. Rate(50, per=1), not {self.rate!r}")
        if self.order not in (None, "strict"):
            raise ValueError(f'a lane\'s order is "strict" or left out, not {self.order!r}')
        if self.order == "strict" and self.concurrency not in (None, 1):
            raise ValueError("a lane in strict order runs one job at a time: leave out concurrency")


# What `@job(lane=...)` takes: a lane for every job of the kind, or a function that derives it from the args.
LaneOf = Callable[[Any], str | Lane | None] | str | Lane


def to_lane(value: str | Lane | None) -> Lane | None:
    """Read a lane from its key, or from the lane itself. Raises `ValueError`."""
    if value is None or isinstance(value, Lane):
        return value
    if not isinstance(value, str):
        raise ValueError(f"a lane is text, a Lane or None, not {value!r}")  # noqa: TRY004
    return Lane(value)


def check_key(key: Any) -> None:
    """Raise `ValueError` unless a lane may have this key."""
    check_text(key)
    if "*" in key:
        raise ValueError(f"a lane's key has no `*`, which is for patterns of keys: {key!r}")
    if key.startswith(RESERVED_PREFIXES):
        raise ValueError(f"a lane's key does not begin with `kind:` or `queue:`, which name kinds and queues: {key!r}")


def check_text(key: Any) -> None:
    """Raise `ValueError` unless a rule may be stored under this text."""
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
        raise ValueError(f"a lane's key has 1 to {LONGEST_KEY} characters, not {key!r}")
    if "\0" in key or key != key.encode(errors="ignore").decode():
        raise ValueError(f"a lane's key has characters that cannot be stored: {key!r}")
    if key != key.strip():
        raise ValueError(f"a lane's key neither begins nor ends with a space: {key!r}")


def _check_label(label: Any) -> None:
    check_text(label)
    if "." not in label or "*" in label or len(label) > LONGEST_LABEL:
        raise ValueError(f"a label has a dot, no `*`, and at most {LONGEST_LABEL} characters: {label!r}")


def is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_period(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        return False
    try:
        return SHORTEST_PER <= to_timedelta(value) <= LONGEST_PER
    except (ValueError, OverflowError):
        return False
