"""The sweep: each pass compares ledger and queue, and mends the differences."""

import time
from collections.abc import Sequence

from service.chore import Chore
from service.worker.keeping.leadership import Leadership


class Sweep:
    """Does its chores one at a time; each is bounded. One worker leads.

    Everything that the leader does is guarded, or harmless if done twice: a leader that froze in the middle of a pass,
    and has been replaced, does no harm when it goes on.
    """

    def __init__(
        self, leadership: Leadership, *, of_each_worker: Sequence[Chore], of_the_leader: Sequence[Chore]
    ) -> None:
        self.leadership = leadership
        self.of_each_worker = of_each_worker
        self.of_the_leader = of_the_leader
        self._next: dict[str, float] = {}

    async def sweep(self) -> bool:
        """Do one pass, the leader's part only if this process leads; return whether another should follow at once."""
        await self._do(self.of_each_worker)
        if not await self.leadership.is_held():
            return False
        return await self._do(self.of_the_leader)

    async def release(self) -> None:
        """Let another worker lead, because this one stops."""
        await self.leadership.release()

    async def _do(self, chores: Sequence[Chore]) -> bool:
        """Do the chores that are due; return whether one of them has more to do."""
        more = False
        for chore in chores:
            first_at = time.monotonic() + chore.every_s if chore.waits else 0.0
            if time.monotonic() >= self._next.setdefault(chore.name, first_at):
                more = bool(await chore.do()) or more
                self._next[chore.name] = time.monotonic() + chore.every_s
        return more
