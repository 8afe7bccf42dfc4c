"""Putting ids on queues and taking them off: simultaneous callers share one round trip."""

import asyncio
from collections.abc import Iterable, Sequence

from arq.connections import ArqRedis

from service import agreed_time
from service.queue.claiming import Claimed
from service.queue.entry import Entry
from service.queue.scripts import OverRedis

_AT_ONCE = 1_000
_IN_LANES_AT_ONCE = 500


class Putting(OverRedis):
    """Puts and removes ids."""

    def __init__(self, redis: ArqRedis) -> None:
        super().__init__(redis)
        self._writing = asyncio.Lock()
        self._to_put: list[Entry] = []
        self._to_remove: dict[str, list[bytes]] = {}
        self._to_take_off: dict[str, list[Claimed]] = {}
        self._next_flush: asyncio.Task[None] | None = None

    async def put(self, entries: Iterable[Entry]) -> None:
        """Put jobs on their queues, or into their lanes. A job that is already there keeps its place.

        Left-over claims are lifted. Simultaneous removals come first.
        """
        self._to_put += entries
        await asyncio.shield(self._flush())

    async def remove(self, queue: str, members: Iterable[bytes]) -> None:
        """Take ids off for good, with everything that belongs to them.

        Running jobs stay in their lanes until released.
        """
        await asyncio.shield(self.remove_soon(queue, members))

    def remove_soon(self, queue: str, members: Iterable[bytes]) -> asyncio.Future[None]:
        """Take ids off without waiting: an id that stays comes up again, where its start is refused."""
        self._to_remove.setdefault(queue, []).extend(members)
        return self._flush()

    def take_off_soon(self, started: Iterable[Claimed]) -> asyncio.Future[None]:
        """Take the ids of started jobs off without waiting, except ids that arq's clients look for.

        It costs less than `remove`, because their claims tell where the ids are.
        """
        for one in started:
            self._to_take_off.setdefault(one.queue, []).append(one)
        return self._flush()

    def _flush(self) -> asyncio.Task[None]:
        # A task that was cancelled before it began has written nothing; the next one writes that, too.
        if self._next_flush is None or self._next_flush.done():
            self._next_flush = asyncio.create_task(self._write_waiting(), name="queue-write")
            self._next_flush.add_done_callback(_note_error)
        return self._next_flush

    async def _write_waiting(self) -> None:
        async with self._writing:
            to_put, self._to_put = self._to_put, []
            to_remove, self._to_remove = self._to_remove, {}
            to_take_off, self._to_take_off = self._to_take_off, {}
            self._next_flush = None
            for queue, started in to_take_off.items():
                for start in range(0, len(started), _AT_ONCE):
                    await self._take_off(queue, started[start : start + _AT_ONCE])
            for queue, members in to_remove.items():
                for start in range(0, len(members), _AT_ONCE):
                    await self._scripts.remove(queue, members[start : start + _AT_ONCE])
            now = agreed_time.now()
            in_lanes = [entry for entry in to_put if entry.lanes]
            laneless = [entry for entry in to_put if not entry.lanes] if in_lanes else to_put
            for start in range(0, len(laneless), _AT_ONCE):
                await self._scripts.put(laneless[start : start + _AT_ONCE], now)
            for start in range(0, len(in_lanes), _IN_LANES_AT_ONCE):
                some = in_lanes[start : start + _IN_LANES_AT_ONCE]
                await self._scripts.put_in_lanes("put", some, [entry.score(now) for entry in some], now)

    async def _take_off(self, queue: str, started: Sequence[Claimed]) -> None:
        laneless = [one.member for one in started if not one.lanes]
        in_lanes: dict[str, list[bytes]] = {}
        for one in started:
            if one.lanes:
                in_lanes.setdefault(one.lanes[0], []).append(one.member)
        await self._scripts.take_off(queue, laneless, in_lanes)


def _note_error(put: asyncio.Task[None]) -> None:
    """Keep asyncio from logging an error that nobody waits for any more; a waiting caller gets it."""
    if not put.cancelled():
        put.exception()
