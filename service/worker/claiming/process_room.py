"""How many attempts of kinds with `runs="process"` a worker may start: hardly more than it has child processes free.

Jobs that wait for a child wait on the queue, where other workers find them, and take no slot from other kinds. As with
slots, as many are prefetched as have ended within a moment. arq's own class claims one by one and ignores this room:
there, attempts wait for a child in their slots.
"""

from collections.abc import Mapping
from typing import Self

from service.resources import Resources
from service.worker.workload import Workload

_MOST_BEGUN = 4  # times the children


class ProcessRoom:
    """The room that one worker's children make for kinds that run in them."""

    def __init__(self, kinds: frozenset[str], size: int) -> None:
        self.kinds = kinds
        self._size = size

    @classmethod
    def of(cls, resources: Resources) -> Self:
        """Return the room of a worker with all kinds of the catalogue."""
        in_processes = {kind.name for kind in resources.catalogue.values() if kind.runs == "process"}
        stock = resources.settings.stock_worker
        return cls(frozenset() if stock else frozenset(in_processes), resources.settings.most_processes)

    def left(self, workload: Workload) -> int:
        """Return how many more may be started now.

        Returns 0 while most prefetched attempts still wait, to start them together.
        """
        begun = sum(one.kind in self.kinds for one in workload.begun)
        lately = sum(count for kind, count in workload.slots.lately.by_kind.items() if kind in self.kinds)
        prefetched = min(lately, (_MOST_BEGUN - 1) * self._size)
        left = self._size + prefetched - begun
        return left if left > prefetched / 2 else 0

    def held(self, workload: Workload, share: int) -> Mapping[str, int]:
        """Return, by `kind:<name>`, how much of a kind's share counts as held, so that the rest is the room here."""
        if not self.kinds:
            return {}
        held = max(0, share - self.left(workload))
        return {f"kind:{kind}": held for kind in self.kinds} if held else {}
