"""Goes through the members of one operation, page by page, starting at its cursor."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.operations import Against, Operation, OperationState
from service.ledger.reads.listing import Filter
from service.ledger.reads.members import Member
from service.ledger.reads.operations import get_operation
from service.ledger.records.operations import Page, are_all_in, record_counted, record_page, states_now
from service.ledger.states import State
from service.lifecycle.operations.deeds import Deed, Done, forbids
from service.lifecycle.operations.pace import Pace
from service.lifecycle.operations.walk import Step, Walk

log = structlog.get_logger(__name__)

# Few enough to take the database only a moment.
PAGE = 1_000
_TELL_EVERY_S = 0.5
_WAIT_FOR_DATABASE_S = 1.0
# A longer wait for the next member is slept in pieces, because the rate may be changed meanwhile.
_LOOK_EVERY_S = 1.0

Progress = Callable[[int, int | None], Awaitable[None]]


class Runner:
    """Carries out an operation: does `deed` to the members that `wanted` matches."""

    def __init__(
        self, ledger: Ledger, wanted: Filter, deed: Deed, progress: Progress | None = None, *, page: int = PAGE
    ) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._deed = deed
        self._progress = progress
        self._told_at = 0.0
        self._page = self._largest = page
        self._telling: asyncio.Task[None] | None = None

    async def run(self, operation: Operation, *, until: float) -> Operation:
        """Count, and go on until all members are dealt with, somebody stops it, or the monotonic clock reaches `until`.

        Deals with at least one page. Outlives outages of the database.
        """
        try:
            return await self._run(operation, until)
        finally:
            await self._told()

    async def _run(self, operation: Operation, until: float) -> Operation:
        walk, pace = Walk(self._ledger, self._wanted), Pace(operation.rate)
        while operation.is_live:
            pace.follow(operation.rate)
            try:
                if operation.state is OperationState.COUNTING:
                    await self._count(operation, walk)
                    left = None
                else:
                    left = await self._go_on(operation, walk, pace)
                operation = left or await self._now(operation)
            except LedgerUnavailable as error:
                log.warning("operation_waits", operation=operation.id, error=str(error.__cause__ or error))
                await asyncio.sleep(_WAIT_FOR_DATABASE_S)
            await self._tell(operation)
            if time.monotonic() >= until:
                break
        return operation

    async def _now(self, operation: Operation) -> Operation:
        async with self._ledger.read() as connection:
            found = await get_operation(connection, operation.id)
        # An operation that was purged meanwhile is over.
        return found or replace(operation, state=OperationState.STOPPED)

    async def _count(self, operation: Operation, walk: Walk) -> None:
        """Count the members after the cursor. If it is interrupted, counting begins again."""
        matched, place, told_at = operation.done + operation.failed, operation.cursor, time.monotonic()
        while True:
            counted, place = await walk.count(place)
            matched += counted
            if place is not None and time.monotonic() < told_at + _TELL_EVERY_S:
                continue
            told_at = time.monotonic()
            record = partial(record_counted, operation_id=operation.id, matched=matched, at=agreed_time.now())
            if not await self._ledger.database.run(partial(record, is_all=place is None)) or place is None:
                return

    async def _go_on(self, operation: Operation, walk: Walk, pace: Pace) -> Operation | None:
        """Deal with a page; return None if the operation has to be read again."""
        step = await walk.read(operation.cursor, pace.page(self._largest))
        against = await self._deed.prepare(step.members)
        if not await self._have_turn(operation, pace.turn_of(len(step.members))):
            return None
        try:
            left = await self._record(operation, step, against)
        except IntegrityError:
            # A new job has just taken a unique key. The next try sees it, or finds the key's holder.
            if len(step.members) > 1:
                self._largest = max(1, len(step.members) // 2)
                return None
            taken = Against("unique_key_taken", "Another job took its unique_key at this moment.")
            left = await self._record(operation, step, dict.fromkeys((one.id for one in step.members), taken))
        self._largest = self._page
        return left

    async def _have_turn(self, operation: Operation, at: float) -> bool:
        """Wait until then; return False if the operation was stopped or its rate changed meanwhile."""
        while (left_s := at - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, _LOOK_EVERY_S))
            if left_s > _LOOK_EVERY_S:
                now = await self._now(operation)
                if (now.rate, now.state) != (operation.rate, operation.state):
                    return False
        return True

    async def _record(self, operation: Operation, step: Step, against: Mapping[str, Against]) -> Operation | None:
        free = [one for one in step.members if one.id not in against]
        at, done = agreed_time.now(), Done({})

        def change(connection: Connection) -> Mapping[str, Against]:
            nonlocal done
            done = Done({}) if operation.dry_run else self._apply(connection, free, at)
            return done.against

        page = Page(
            operation.id, operation.cursor, step.reached, step.is_last, [one.id for one in step.members], against
        )
        left = await self._ledger.database.run(partial(record_page, page=page, change=change, at=at))
        if left is not None and done != Done({}):
            await self._told()
            self._telling = asyncio.create_task(self._deed.tell(done), name="operation-tells")  # during the next page
        return left

    async def _told(self) -> None:
        """Wait until Redis has heard of the previous page."""
        if self._telling is not None:
            await self._telling
            self._telling = None

    def _apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        """Act on the members that are still in a state that the filter asks for."""
        late = self._late(connection, members)
        left = [one for one in members if one.id not in late] if late else members
        done = self._deed.apply(connection, left, at) if left else Done({})
        return done._replace(against={**late, **done.against})

    def _late(self, connection: Connection, members: Sequence[Member]) -> dict[str, Against]:
        """Lock members, in the order of ids, as everywhere; return the ones whose state has changed."""
        wanted, ids = self._wanted.states or tuple(State), [one.id for one in members]
        if are_all_in(connection, ids, wanted):
            return {}
        states = {**dict.fromkeys(ids, "deleted"), **states_now(connection, ids)}
        return {one: forbids(state, "dealt with any more") for one, state in states.items() if state not in wanted}

    async def _tell(self, operation: Operation) -> None:
        """Record the progress of the job now and then, and at the end."""
        if self._progress is None:
            return
        if not operation.is_live:
            await self._progress(operation.done + operation.failed, operation.matched)
        elif time.monotonic() >= self._told_at + _TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._progress(operation.done + operation.failed, operation.matched)  # written during the next page
