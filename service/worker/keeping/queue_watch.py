"""Watches the queue for the sweep: whether Redis answers, which epoch it is in, and whether a pass was whole."""

import time
from collections.abc import Awaitable, Callable

import structlog

from service.durability import Durability
from service.queue import UNREACHABLE, Queue, refusal_of
from service.worker.keeping.leadership import Leadership
from service.worker.keeping.redispatch import Redispatch

log = structlog.get_logger(__name__)

# An idle worker must not keep Redis busy.
_READ_EPOCH_EVERY_S = 5.0

# A chore that needs Redis is told the epoch.
WithEpoch = Callable[[str], Awaitable[bool | None]]


class QueueWatch:
    """Lets chores that need Redis run while it answers; logs once when it stops answering and when it is back."""

    def __init__(self, queue: Queue, leadership: Leadership, durability: Durability, redispatch: Redispatch) -> None:
        self._queue = queue
        self._leadership = leadership
        self._durability = durability
        self._redispatch = redispatch
        self._epoch: str | None = None
        self._epoch_read_at = 0.0
        self._checked_epoch: str | None = None
        self._is_away = False

    async def look(self) -> None:
        """Read the epoch; check the settings of each new Redis."""
        try:
            if self._epoch is None or time.monotonic() > self._epoch_read_at + _READ_EPOCH_EVERY_S:
                self._epoch, self._epoch_read_at = await self._queue.epoch(), time.monotonic()
        except UNREACHABLE as error:
            await self._lose(error)
            return
        await self._leadership.note_epoch(self._epoch)
        if self._epoch != self._checked_epoch:
            self._checked_epoch = self._epoch
            await self._durability.check()

    def while_it_answers(self, do: WithEpoch) -> Callable[[], Awaitable[bool | None]]:
        """Make a chore that is skipped once Redis has not answered, until `look` finds Redis again."""

        async def guarded() -> bool | None:
            if self._epoch is None:
                return False
            try:
                return await do(self._epoch)
            except UNREACHABLE as error:
                await self._lose(error)
                return False

        return guarded

    def once_all_is_dispatched(self, do: WithEpoch) -> Callable[[], Awaitable[bool | None]]:
        """Make a chore that is also skipped while jobs are left to dispatch."""

        async def with_nothing_left(epoch: str) -> bool | None:
            return False if self._redispatch.left else await do(epoch)

        return self.while_it_answers(with_nothing_left)

    async def end_pass(self, epoch: str) -> None:
        """Note that Redis took everything and, unless jobs are left to dispatch, that nothing is left to mend."""
        if not self._redispatch.left:
            self._leadership.swept(epoch)
        if self._is_away:
            log.info("queue_mended_again")
        self._is_away = False

    async def _lose(self, error: BaseException) -> None:
        self._epoch = None
        if not self._is_away:
            away, reason = f"{type(error).__name__}: {error}", refusal_of(error)
            if reason is not None:
                log.error("redis_refuses", error=away, reason=reason)
            else:
                remedy = "jobs stay in the ledger; the sweep tries each second"
                log.warning("queue_not_mended", error=away, remedy=remedy)
        self._is_away = True
        await self._leadership.note_epoch(None)
