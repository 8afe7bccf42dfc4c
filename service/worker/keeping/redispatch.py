"""Dispatches jobs that are not known to be in the present Redis: their API died in between, or Redis has forgotten."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from service import agreed_time
from service.lane_rules import in_order, label_in
from service.ledger.ledger import Ledger
from service.ledger.reads import dispatching
from service.ledger.records.dispatched import record_dispatched
from service.queue import Entry, Member, Queue

_BATCH = 1_000
_LONGEST_S = 2.0
# Shorter when jobs are already queued and only lack the dispatch mark.
_LONGEST_CALM_S = 0.1


class Redispatch:
    """Puts waiting jobs whose rows are not marked with the queue's epoch on the queue."""

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self._ledger = ledger
        self._queue = queue
        self.left = False

    async def dispatch(self) -> int:
        """Dispatch a batch; return how many were not known to be on the queue."""
        found, _ = await self._dispatch(await self._queue.epoch())
        return found

    async def dispatch_for_a_while(self, epoch: str) -> bool:
        """Dispatch batch after batch, well within the lease; return whether more are urgent. `left` says whether any
        are left.

        They are urgent if any job was missing from the queue.
        """
        began, put = time.monotonic(), 0
        self.left = True
        while True:
            found, newly_put = await self._dispatch(epoch)
            put += newly_put
            if found < _BATCH:
                self.left = False
                return False
            if time.monotonic() > began + (_LONGEST_S if put else _LONGEST_CALM_S):
                return put > 0

    async def _dispatch(self, epoch: str) -> tuple[int, int]:
        """Dispatch a batch; return how many were not known to be on the queue, and how many really were not."""
        async with self._ledger.read() as connection:
            rows = await dispatching.undispatched(connection, epoch, agreed_time.now(), _BATCH)
        if not rows:
            return 0, 0
        members = [member_of(row) for row in rows]
        missing = await self._queue.missing(members)
        put = [row for row, member in zip(rows, members, strict=True) if member in missing]
        # An adopted job's id stays on the queue while it runs, marked as in progress for as long as its timeout, and
        # each claim moves it ahead. After its worker's death it is put back at its due time.
        adopted = ((row, member) for row, member in zip(rows, members, strict=True) if row[_ARQ_ID] is not None)
        held = [row for row, member in adopted if member not in missing]
        # Raises if Redis refuses any of it, before anything is noted, so everything is put again later.
        await self._queue.put(map(entry_of, put))
        if held:
            await self._queue.put_back(list(map(entry_of, held)))
        noted = [(job_id, attempt) for job_id, attempt, *_ in rows]
        await self._ledger.database.run(partial(record_dispatched, put=noted, epoch=epoch))
        return len(rows), len(put) + len(held)


# Rows of `TO_DISPATCH` are read by position: looking columns up by name costs more, and while a backlog is worked off,
# a thousand rows come in each pass.
_ARQ_ID = 5


def member_of(row: Sequence[Any]) -> Member:
    """Return the queue member of a row that `dispatching` found."""
    job_id, _, kind, queue, _, arq_id, _, lane, kind_lane, lane_limits = row
    return Member(queue, arq_id or job_id, kind, in_order(lane, kind_lane), label_in(lane_limits) or "")


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the queue entry of a row that `dispatching` found."""
    job_id, _, kind, queue, run_at, arq_id, priority, lane, kind_lane, lane_limits = row
    return Entry(arq_id or job_id, kind, queue, run_at, priority, in_order(lane, kind_lane), lane_limits)
