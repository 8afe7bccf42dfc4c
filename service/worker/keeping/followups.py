"""Follows up jobs whose writer did not get to it, because it died, or the database went away after the commit."""

from datetime import timedelta
from functools import partial

from service import agreed_time
from service.ledger.ledger import Ledger
from service.ledger.reads.edges import FIRST_PLACE, has_followups, unfollowed_parents
from service.ledger.records.followups import record_unfollowed
from service.lifecycle.following import Following

_LONGEST_S = 2.0
_BLOCKED_FOR = timedelta(seconds=10)
_BATCH = 500


class Followups:
    def __init__(self, ledger: Ledger, following: Following) -> None:
        self._ledger = ledger
        self._following = following
        self._beyond = FIRST_PLACE

    async def follow_up(self) -> bool:
        """Follow up for a while; return whether there is more to do. If nothing waits for it, only reads."""
        async with self._ledger.read() as connection:
            if not await has_followups(connection):
                return False
        return await self._following.follow_up_for(_LONGEST_S)

    async def mend(self) -> None:
        """Have jobs followed up that ended without it: during a deploy, a worker that knows no edges may end jobs."""
        now = agreed_time.now()
        async with self._ledger.read() as connection:
            ended, self._beyond = await unfollowed_parents(connection, now - _BLOCKED_FOR, self._beyond, _BATCH)
        if ended:
            await self._ledger.database.run(partial(record_unfollowed, ids=ended, at=now))
