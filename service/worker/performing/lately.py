"""Counts the attempts that ended within the last moment: as many are likely to end within the next one."""

import time
from collections import defaultdict

# Attempts that end within a moment would leave slots empty during the ledger's round trips. So as many extra attempts
# are started as have lately ended in such a moment, and wait for the slots that will be free by then. With half of that
# time, groups on a busy machine were half as large, and a job cost up to a quarter more CPU.
MOMENT_S = 0.2


class Lately:
    """Counts the ends in this moment, or in the one before if that was more."""

    def __init__(self) -> None:
        self._moment = 0
        self._now: defaultdict[str, int] = defaultdict(int)
        self._before: defaultdict[str, int] = defaultdict(int)

    def note(self, kind: str) -> None:
        """Note that an attempt has ended.

        Kept cheap, because it runs for each attempt, while shares are read once a claim.
        """
        moment = _this_moment()
        if moment != self._moment:
            self._turn_to(moment)
        self._now[kind] += 1

    @property
    def count(self) -> int:
        """How many ended, of any kind."""
        self._turn_to(_this_moment())
        return max(sum(self._now.values()), sum(self._before.values()))

    @property
    def by_kind(self) -> dict[str, int]:
        """How many ended of each kind, without zeros."""
        self._turn_to(_this_moment())
        return {kind: max(self._now.get(kind, 0), self._before.get(kind, 0)) for kind in (*self._now, *self._before)}

    def _turn_to(self, moment: int) -> None:
        if moment != self._moment:
            self._before = self._now if moment == self._moment + 1 else defaultdict(int)
            self._now, self._moment = defaultdict(int), moment


def _this_moment() -> int:
    return int(time.monotonic() / MOMENT_S)
