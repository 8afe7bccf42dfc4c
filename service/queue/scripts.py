"""The Lua scripts, with one typed method each. The head of each `.lua` file says what it does."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from arq.connections import ArqRedis

from service.queue.codec import payload_of
from service.queue.entry import LONGEST_ID, Entry
from service.queue.keys import (
    PARKED,
    aside_key_of,
    in_progress_key_prefix,
    job_key_prefix,
    key_of,
    low_key_of,
    wake_key_of,
)

# What `claim` mended: an event, the key, and the member or the key's new name.
Mended = tuple[bytes, bytes, bytes]


class Scripts:
    """Runs the scripts on one Redis."""

    def __init__(self, redis: ArqRedis) -> None:
        self._claim = redis.register_script(_read("claim.lua"))
        self._put = redis.register_script(_read("put.lua"))
        self._remove = redis.register_script(_read("remove.lua"))

    async def claim(
        self, queues: Sequence[str], count: int, hold_ms: int, kinds: Sequence[str]
    ) -> tuple[int, list[Mended], list[list[bytes]]]:
        """Run `claim.lua`; return Redis' time in ms, what was mended, and the claimed ids of each queue."""
        names = (key_of, low_key_of, aside_key_of, wake_key_of)
        keys = [name(queue) for queue in queues for name in names]
        args: tuple[int | str, ...] = (count, hold_ms, in_progress_key_prefix, PARKED, 4 * LONGEST_ID, *kinds)
        now_ms, mended, *members = await cast(Awaitable[list[Any]], self._claim(keys=keys, args=args))
        return now_ms, mended, members

    async def put(self, entries: Sequence[Entry], now: datetime) -> None:
        """Run `put.lua` for 1 to 1,000 entries."""
        queues = list({entry.queue: None for entry in entries})
        keys = [name for queue in queues for name in (key_of(queue), low_key_of(queue), wake_key_of(queue))]
        args: list[str | int] = [job_key_prefix, in_progress_key_prefix]
        for entry in entries:
            payload = payload_of(entry.kind, entry.due_at)
            args += (queues.index(entry.queue), int(entry.is_low(now)), entry.id, entry.score(now), payload)
        await cast(Awaitable[None], self._put(keys=keys, args=args))

    async def remove(self, queue: str, members: Sequence[bytes]) -> None:
        """Run `remove.lua` for 1 to 1,000 ids."""
        args: tuple[str | bytes, ...] = (job_key_prefix, in_progress_key_prefix, *members)
        await cast(Awaitable[None], self._remove(keys=[key_of(queue), low_key_of(queue)], args=args))


class OverRedis:
    """The base of each part of the queue: a client, and the scripts."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis
        self._scripts = Scripts(redis)


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
