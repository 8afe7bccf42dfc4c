"""Suspects: jobs with one crash left. The rules under which a worker takes and runs them.

- A suspect is isolated: it runs in a child process, so that its last crash takes no neighbour with it
  (`performing/isolated.py`). What becomes of a job when a process dies is decided in `service/ledger/states.py`.
- One suspect at a time, in a worker, for each costs a process and says something only while it is alone.
- Nothing that has crashed is prefetched: whether a prefetched attempt had begun when its worker died cannot be known,
  and a crash that is not counted would come again and again. It starts when a slot is held for it (`Slots.hold`).
"""

from collections.abc import Iterable, Sequence

from service.ledger.models import Started
from service.ledger.states import isolated_from


class Suspects:
    """The rules for a given limit of crashes."""

    def __init__(self, max_crashes: int) -> None:
        self.max_crashes = max_crashes
        self._from = isolated_from(max_crashes)

    def includes(self, crashes: int) -> bool:
        """Whether a job that has crashed so often is a suspect."""
        return crashes >= self._from

    def crashes_below(self, *, prefetched: bool) -> int:
        """Return how many crashes keep a job from being started with the others of a claim."""
        return 1 if prefetched else self._from

    def may_start(self, suspects: Sequence[str], begun: Iterable[Started]) -> Sequence[str]:
        """Return the suspects, one at most, that may start beside the attempts `begun`."""
        return () if any(self.includes(one.crashes) for one in begun) else suspects[:1]
