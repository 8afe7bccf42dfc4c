"""How an idle worker waits: it asks when something may come due, and is woken by a put."""

from collections.abc import Awaitable, Sequence
from typing import Any, cast

from service.queue.keys import aside_key_of, key_of, lane_low_key_of, low_key_of, turns_key_of, wake_key_of
from service.queue.room import NOTHING, Left
from service.queue.scripts import OverRedis

_OUT_OF_ORDER = (low_key_of, aside_key_of, lane_low_key_of, turns_key_of)


class Idling(OverRedis):
    """Tells workers when to claim again."""

    async def woken(self, queues: Sequence[str], within_s: float) -> bool:
        """Wait up to `within_s` for a put on one of `queues`; return whether there was one.

        Each put wakes one worker.
        """
        keys = [wake_key_of(queue) for queue in queues]
        # The type allows whole seconds only; Redis takes fractions.
        return await cast(Awaitable[Any], self.redis.blpop(keys, timeout=cast(int, within_s))) is not None

    async def wake(self, queues: Sequence[str]) -> None:
        """Wake one worker that waits for any of `queues`."""
        await cast(Awaitable[Any], self.redis.lpush(wake_key_of(queues[0]), b"1"))

    async def next_due_ms(self, queues: Sequence[str], left: Left = NOTHING) -> float | None:
        """Return when something on `queues` comes due, in ms by Redis' clock, except what the last claim `left`.

        None if nothing waits.
        """
        unpaused = [queue for queue in queues if f"queue:{queue}" not in left.names]
        own = [] if left.all_laneless else [key_of(queue) for queue in unpaused]
        lanes = [] if left.all_lanes else [turns_key_of(queue) for queue in unpaused]
        async with self.redis.pipeline(transaction=False) as pipe:
            for key in own:
                pipe.zrange(key, 0, 0, withscores=True)
            for key in lanes:
                pipe.zrange(key, 0, len(left.names), withscores=True)
            heads = await pipe.execute()
        names = {name.encode() for name in left.names}
        scores = [score for head in heads[: len(own)] for _, score in head]
        scores += [score for turns in heads[len(own) :] for lane, score in turns if lane not in names]
        return min(scores, default=None)

    async def has_out_of_order(self, queues: Sequence[str]) -> bool:
        """Whether there may be due ids in other places: with negative priority, set aside, or in lanes."""
        keys = [name(queue) for queue in queues for name in _OUT_OF_ORDER]
        return bool(await self.redis.exists(*keys))
