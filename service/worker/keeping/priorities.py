"""Priorities count from the moment a job is due: then its id moves to the score of its priority."""

from collections.abc import Iterable

from service.queue import Entry, Queue


class Priorities:
    """Moves jobs that have come due; if Redis is away, once it is back."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._to_move: list[Entry] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Note jobs that have come due."""
        self._to_move += entries

    async def move(self, _epoch: str) -> None:
        """Move the noted jobs."""
        if self._to_move:
            await self._queue.prioritise(self._to_move)
            self._to_move = []
