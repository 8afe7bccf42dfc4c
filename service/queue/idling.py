"""What an idle worker asks: when something may come due, and to be woken by a put."""

from collections.abc import Awaitable, Sequence
from typing import Any, cast

from service.queue.keys import aside_key_of, key_of, low_key_of, wake_key_of
from service.queue.scripts import OverRedis


class Idling(OverRedis):
    """Tells workers when to claim again."""

    async def woken(self, queues: Sequence[str], within_s: float) -> bool:
        """Wait up to `within_s` for a put on one of `queues`; say whether there was one. Each put wakes one worker."""
        keys = [wake_key_of(queue) for queue in queues]
        # The type allows whole seconds only; Redis takes fractions.
        return await cast(Awaitable[Any], self.redis.blpop(keys, timeout=cast(int, within_s))) is not None

    async def next_due_ms(self, queues: Sequence[str]) -> float | None:
        """Return the lowest score on `queues`, in ms by Redis' clock; None if they are empty."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zrange(key_of(queue), 0, 0, withscores=True)
            heads = await pipe.execute()
        return min((score for head in heads for _, score in head), default=None)

    async def has_out_of_order(self, queues: Sequence[str]) -> bool:
        """Whether there are due ids that do not stand at their due times: low ones, or ids that were set aside."""
        keys = [name(queue) for queue in queues for name in (low_key_of, aside_key_of)]
        return bool(await self.redis.exists(*keys))
