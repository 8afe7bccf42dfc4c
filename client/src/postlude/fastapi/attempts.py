"""Which attempts this process has run, so that no call is run twice."""

import time
from collections import OrderedDict

KEPT_S = 600
"""Longer than a call's signature is valid."""


class Attempts:
    """The attempts that are running, or ended a short while ago."""

    def __init__(self) -> None:
        self._running: set[tuple[str, int]] = set()
        self._ended: OrderedDict[tuple[str, int], float] = OrderedDict()

    def begin(self, job: str, attempt: int) -> bool:
        """Return whether this attempt is new here."""
        self._forget()
        if (job, attempt) in self._running or (job, attempt) in self._ended:
            return False
        self._running.add((job, attempt))
        return True

    def end(self, job: str, attempt: int) -> None:
        self._running.discard((job, attempt))
        self._ended[job, attempt] = time.monotonic()

    def _forget(self) -> None:
        oldest = time.monotonic() - KEPT_S
        while self._ended and next(iter(self._ended.values())) < oldest:
            self._ended.popitem(last=False)
