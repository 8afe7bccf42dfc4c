"""Dispatching: putting the ids of recorded jobs on the queue, together and in bounded time."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy import RowMapping

from service import agreed_time, metrics
from service.lane_rules import in_order
from service.ledger.changes import Changed, Place
from service.ledger.models import Finished, NewJob, Released
from service.ledger.reads.dispatching import HORIZON
from service.ledger.states import WAITING, State
from service.queue import NO_CLAIM_MS, UNREACHABLE, Entry, Queue, Release, Runs

log = structlog.get_logger(__name__)

_WITHIN_S = 2.0
_WITHIN_S_WHILE_AWAY = 0.2


class Dispatcher:
    """Puts recorded jobs on the queue.

    Never raises because of Redis: the sweep puts what Redis does not take in time.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._redis_answers = True
        self._entries: list[Entry] = []
        self._callers: list[asyncio.Future[None]] = []
        self._next: asyncio.Task[None] | None = None  # one that has not begun
        self._tasks: set[asyncio.Task[None]] = set()

    async def dispatch(self, jobs: Sequence[NewJob]) -> None:
        """Put newly recorded jobs on the queue, except blocked and cancelled ones; see `put`."""
        if all(job.state is State.QUEUED for job in jobs):  # due already, whatever the time
            if jobs:
                await self._join([entry_of_new(job) for job in jobs])
        else:
            await self.put([entry_of_new(job) for job in jobs if job.state in WAITING])

    async def put_released(self, released: Iterable[Released]) -> None:
        """Put released jobs on the queue; see `put`."""
        await self.put(
            [
                Entry(one.id, one.kind, one.queue, one.run_at, one.priority, one.lanes, one.lane_limits)
                for one in released
            ]
        )

    async def put(self, waiting: Sequence[Entry]) -> None:
        """Put jobs that are due soon on the queue, in one call with everything else that is put at this moment."""
        soon = agreed_time.now() + HORIZON
        if entries := [entry for entry in waiting if entry.due_at <= soon]:
            await self._join(entries)
        await self._tell_orders([entry for entry in waiting if entry.due_at > soon and entry.brings_order])

    async def _tell_orders(self, later: Sequence[Entry]) -> None:
        """Tell lanes the order that later jobs bring, which stay in SQL until they are almost due."""
        if later:
            orders = [Runs(entry.id, entry.lanes, entry.queue, entry.lane_limits) for entry in later]
            await self._in_time(self._queue.lanes.hear_orders(orders), "lanes_not_told", len(orders))

    def _join(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """Add entries to the next call; return a future that is done when they have been put."""
        if self._next is None:
            self._next = asyncio.create_task(self._put_all(), name="dispatch")
            self._tasks.add(self._next)  # asyncio keeps no reference of its own
            self._next.add_done_callback(self._tasks.discard)
            self._next.add_done_callback(self._note_not_begun)
        self._entries += entries
        self._callers.append(done := asyncio.get_running_loop().create_future())
        return done

    async def move(self, changed: Iterable[Changed]) -> None:
        """Move changed jobs from their old places on the queue to their new ones.

        If Redis does not hear of it, the sweep puts missing ids. An id left in an old place comes up there, and is sent
        to its new place when its start is refused.
        """
        moved = [(one.before, one.after) for one in changed if one.before is not None and one.after is not None]
        if not moved:
            return
        soon = agreed_time.now() + HORIZON
        old = [_entry_at(before) for before, _ in moved]
        new = [_entry_at(after) for _, after in moved]
        # A strict lane no longer waits for a job that has left it, or that is due at another time.
        await self.release([Release(entry.id, entry.lanes, claim_ms=NO_CLAIM_MS) for entry in old if entry.lanes])
        due_soon = [entry for entry in new if entry.due_at <= soon]
        await self._put_in_time(self._put_in_place_of(old, due_soon), len(moved))
        await self._tell_orders([entry for entry in new if entry.due_at > soon and entry.brings_order])

    async def put_anew(self, entries: Sequence[Entry]) -> None:
        """Put replayed jobs on the queue. An id left there from before the replay loses its old due time."""
        await self._put_in_time(self._put_in_place_of(entries, entries), len(entries))

    async def _put_in_place_of(self, old: Sequence[Entry], new: Sequence[Entry]) -> None:
        by_queue: dict[str, list[bytes]] = {}
        for entry in old:
            by_queue.setdefault(entry.queue, []).append(entry.id.encode())
        for queue, members in by_queue.items():
            await self._queue.remove(queue, members)
        await self._queue.put(new)

    async def release(self, releases: Sequence[Release]) -> None:
        """Let jobs that have ended, or wait again, leave their lanes.

        If Redis does not take it, the leader mends it.
        """
        if releases:
            await self._in_time(self._queue.lanes.release(releases), "lanes_not_released", len(releases))

    async def release_lost(self, ended: Iterable[tuple[RowMapping, Finished | None]], claim_ms: int | None) -> None:
        """Let jobs whose attempts another process has ended leave their lanes: their rows, and their recorded finishes.

        `claim_ms` is Redis' clock from before that. If Redis did not answer, the leader mends it.
        """
        if claim_ms is not None:
            await self.release(releases_of(ended, claim_ms))

    async def clock_ms(self) -> int | None:
        """Return Redis' clock; None if it does not answer."""
        try:
            async with asyncio.timeout(_WITHIN_S if self._redis_answers else _WITHIN_S_WHILE_AWAY):
                seconds, microseconds = await self._queue.redis.time()
        except UNREACHABLE:
            return None
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _put_all(self) -> None:
        """Put the entries of all waiting callers, whose jobs one commit has recorded, and wake the callers."""
        self._next = None
        entries, self._entries = self._entries, []
        callers, self._callers = self._callers, []
        try:
            await self._put_in_time(self._queue.put(entries), len(entries))
        finally:
            _wake(callers)

    def _note_not_begun(self, task: asyncio.Task[None]) -> None:
        """Leave the entries of a task that was cancelled before its first step to the sweep."""
        if self._next is task:
            self._next = None
            entries, self._entries = self._entries, []
            callers, self._callers = self._callers, []
            _wake(callers)
            _tell_failed("dispatch_failed", len(entries), "the task that was to put them was cancelled")
            metrics.dispatch_failures.inc(len(entries))

    async def _put_in_time(self, put: Coroutine[Any, Any, None], count: int) -> None:
        if not await self._in_time(put, "dispatch_failed", count):
            metrics.dispatch_failures.inc(count)

    async def _in_time(self, write: Coroutine[Any, Any, Any], failed: str, count: int) -> bool:
        """Wait for `write`, but hardly at all if Redis did not answer the last time; return whether it answered."""
        try:
            async with asyncio.timeout(_WITHIN_S if self._redis_answers else _WITHIN_S_WHILE_AWAY):
                await write
        except UNREACHABLE as error:
            self._redis_answers = False
            _tell_failed(failed, count, str(error) or type(error).__name__)
            return False
        self._redis_answers = True
        return True


def _tell_failed(failed: str, count: int, reason: str) -> None:
    log.warning(failed, jobs=count, error=reason, remedy="the sweep will mend it")


def _wake(callers: Iterable[asyncio.Future[None]]) -> None:
    for done in callers:
        if not done.done():
            done.set_result(None)


def entry_of_new(job: NewJob) -> Entry:
    """Return the queue entry of a job that was just recorded."""
    if job.lane is None and job.kind_lane is None:
        return Entry(job.id, job.kind, job.queue, job.run_at, job.priority)
    return Entry(job.id, job.kind, job.queue, job.run_at, job.priority, job.lanes, job.lane_limits)


def _entry_at(place: Place) -> Entry:
    return Entry(place.member, place.kind, place.queue, place.run_at, place.priority, place.lanes, place.lane_limits)


def releases_of(ended: Iterable[tuple[RowMapping, Finished | None]], claim_ms: int) -> list[Release]:
    """Return the releases of jobs whose attempts have ended by the ledger and were claimed before `claim_ms`."""
    return [
        Release(
            row["arq_id"] or row["id"],
            lanes,
            head_due=finished.run_at if finished.state in WAITING else None,
            claim_ms=claim_ms,
        )
        for row, finished in ended
        if finished is not None and (lanes := in_order(row["lane"], row["kind_lane"]))
    ]
