"""Suspects: jobs with one crash left. The rules under which a worker takes and runs them.

- A suspect is isolated: it runs in a child process, so that its last crash takes no neighbour with it
  (`performing/isolated.py`). `service/ledger/states.py` decides what becomes of a job when a process dies.
- A worker runs one suspect at a time: each costs a process, and its crash means something only while it is alone.
- A job that has crashed is never prefetched: nobody can know whether a prefetched attempt had begun when its worker
  died, and a crash that is not counted would come again and again. It starts when a slot is held for it (`Slots.hold`).
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
        """Whether a job with this many crashes is a suspect."""
        return crashes >= self._from

    def crashes_below(self, *, prefetched: bool) -> int:
        """Return how many crashes exclude a job from starting with the others of a claim."""
        return 1 if prefetched else self._from

    def may_start(self, suspects: Sequence[str], begun: Iterable[Started]) -> Sequence[str]:
        """Return the suspects, at most one, that may start beside the attempts in `begun`."""
        return () if any(self.includes(one.crashes) for one in begun) else suspects[:1]
