"""A job's own retry policy, as it is stored: JSON with the values in its request. Pure."""

import json
from datetime import datetime, timedelta
from typing import NamedTuple


class OwnRetry(NamedTuple):
    """When to try again, in seconds, in the words of `RetryPolicy`; None leaves it to the kind.

    No attempt begins more than `max_duration` after the job was due, once one has failed.
    """

    base: float | None = None
    cap: float | None = None
    delays: tuple[float, ...] | None = None
    max_duration: float | None = None

    def to_json(self) -> str:
        told = {name: value for name, value in self._asdict().items() if value is not None}
        return json.dumps(told, separators=(",", ":"))


def own_retry_of(stored: str) -> OwnRetry:
    """Read what `to_json` wrote."""
    told = json.loads(stored)
    return OwnRetry(**told | ({"delays": tuple(told["delays"])} if "delays" in told else {}))


def retry_until(stored: str, run_at: datetime) -> datetime | None:
    """Return when the last attempt of a job due at `run_at` may begin; None: at any time."""
    max_duration = own_retry_of(stored).max_duration
    if max_duration is None:
        return None
    try:
        return run_at + timedelta(seconds=max_duration)
    except OverflowError:  # beyond the end of the calendar
        return None
