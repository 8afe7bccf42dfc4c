"""`POST /v1/jobs/replay`: an operation that the API carries out for a moment; a worker does the rest."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from service import agreed_time
from service.errors import BadCursor, OperationEnded
from service.ledger.operations import BROKEN_OFF, NewOperation, Operation, OperationState, Place
from service.ledger.records.operations import record_let_go, record_operation, record_taken_over
from service.lifecycle.operations.job_filter import stored_filter
from service.lifecycle.operations.operations import Operations
from service.lifecycle.operations.walk import Walk

# After its time is up, an API that carries out a replay may still be at its last page.
_GRACE = timedelta(seconds=5)
_LOOK_EVERY_S = 0.1
# A request checks its time between two pages.
_PAGE = 500


@dataclass(slots=True)
class Rehearsal:
    """What a dry run has found. It goes on beyond `reached`; None: it is done."""

    matched: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    reached: Place | None = None


class BulkReplay:
    """Carries out replays within the time of a request."""

    def __init__(self, operations: Operations, writer: str) -> None:
        self._operations = operations
        self._ledger = operations.ledger
        self._writer = writer

    async def begin(self, new: NewOperation, within_s: float) -> Operation:
        """Record a replay, and carry it out for `within_s`. Raises `KindUnknown`."""
        self._operations.check(new)
        now = agreed_time.now()
        begun = replace(new, state=OperationState.RUNNING, started_at=now, runner_until=_until(within_s))
        await self._ledger.database.run(partial(record_operation, new=begun, job=None, writer=self._writer))
        return await self._go_on(await self._operations.find(new.id), within_s)

    async def go_on(self, operation_id: str, filter_sent: str, within_s: float) -> Operation:
        """Go on with a replay for `within_s`, or wait for the worker that does.

        Raises `OperationNotFound`, `BadCursor` for another filter than its own, `OperationEnded` for a stopped one.
        """
        deadline = time.monotonic() + within_s
        while (operation := await self._operations.find(operation_id)).is_live:
            if operation.filter != filter_sent:
                raise BadCursor("The cursor is of another replay. Send the same filter with each request.")
            if operation.job_id is None and await self._take_over(operation_id, within_s):
                return await self._go_on(operation, within_s)
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        if operation.state in BROKEN_OFF:
            raise OperationEnded(f"The replay {operation.id} was {operation.state}: {operation.error or 'by a user'}.")
        return operation

    async def _take_over(self, operation_id: str, within_s: float) -> bool:
        record = partial(record_taken_over, operation_id=operation_id, at=agreed_time.now(), until=_until(within_s))
        return await self._ledger.database.run(record)

    async def _go_on(self, operation: Operation, within_s: float) -> Operation:
        runner = self._operations.runner(operation, page=_PAGE)
        left = await runner.run(operation, until=time.monotonic() + within_s)
        if left.is_live:
            await self._ledger.database.run(partial(record_let_go, operation_id=left.id, at=agreed_time.now()))
        return left

    async def rehearse(self, new: NewOperation, beyond: Place | None, within_s: float) -> Rehearsal:
        """Say what a replay would do, for as many members as `within_s` allows. Nothing is recorded."""
        self._operations.check(new)
        deadline, found = time.monotonic() + within_s, Rehearsal()
        deed = self._operations.deed_of(new)
        walk = Walk(self._ledger, stored_filter(new.action, new.filter, new.created_at))
        while True:
            step = await walk.read(beyond, _PAGE)
            against = await deed.prepare(step.members)
            found.matched += len(step.members)
            found.skipped.update(reason for reason, _ in against.values())
            found.reached = beyond = None if step.is_last else step.reached
            if beyond is None or time.monotonic() > deadline:
                return found


def _until(within_s: float) -> datetime:
    return agreed_time.now() + timedelta(seconds=within_s) + _GRACE
