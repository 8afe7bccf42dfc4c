"""Waits for a job's end: by requests that the service answers late, each short enough for the proxies between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from postlude import requests
from postlude.errors import WaitTimedOut
from postlude.models import Job
from postlude.options import Duration, seconds

if TYPE_CHECKING:
    from postlude.requests import Request

_POLL_S = 25.0
_SHORTEST_POLL_S = 1.0


class Waiting:
    """One wait for one job; without a `timeout`, as long as it takes."""

    def __init__(self, job: str | Job, timeout: Duration | None) -> None:
        self._id = job if isinstance(job, str) else job.id
        self._timeout_s = None if timeout is None else seconds(timeout)
        self._ends = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        self._polled = 0.0

    @property
    def left_s(self) -> float | None:
        """How much of the time is left; None if there is no end to it."""
        return None if self._ends is None else max(self._ends - time.monotonic(), 0.0)

    def poll(self) -> Request:
        self._polled = time.monotonic()
        left_s = self.left_s
        return requests.get(self._id, wait_s=_POLL_S if left_s is None else min(_POLL_S, left_s))

    def pause_s(self, job: Job) -> float:
        """Return how long to wait before the next poll. Raises `WaitTimedOut` if there is no time for one."""
        left_s = self.left_s
        if left_s == 0:
            raise self._timed_out(f"is {job.state}")
        # A stopping service answers at once: do not ask the next one in a tight loop.
        pause_s = max(self._polled + _SHORTEST_POLL_S - time.monotonic(), 0.0)
        return pause_s if left_s is None else min(pause_s, left_s)

    def check_time(self, error: Exception) -> None:
        """Raise `WaitTimedOut` if a poll failed because the time is up."""
        if self.left_s == 0:
            raise self._timed_out(f"cannot be looked up: {error}") from error

    def _timed_out(self, told: str) -> WaitTimedOut:
        return WaitTimedOut(f"Job {self._id} has not ended within {self._timeout_s:g} s; it {told}")
