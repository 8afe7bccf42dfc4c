"""The sweep: compares ledger and queue, and mends the difference."""

from datetime import UTC, datetime
from typing import Any

import structlog

from service.ledger import dispatching, liveness
from service.ledger.models import Failure, Finish
from service.ledger.records.controlled import record_expired
from service.ledger.states import Outcome, State
from service.queue import Entry
from service.resources import Resources

log = structlog.get_logger(__name__)

_BATCH = 1_000


class Sweep:
    """One pass after the other, each bounded; every worker may sweep, for all of it is guarded or harmless twice."""

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._queue = resources.queue
        self._max_crashes = resources.settings.max_crashes
        self._rescuer = resources.process_id

    async def sweep(self, *, may_rescue: bool) -> int:
        """Do one pass; gives how many jobs were dispatched."""
        await self._mend_ledger()
        if may_rescue:
            await self._rescue()
        return await self.dispatch()

    async def dispatch(self) -> int:
        """Put what is recorded, due soon and not known to be on the queue, on the queue."""
        epoch = await self._queue.epoch()
        async with self._ledger.read() as connection:
            rows = await dispatching.undispatched(connection, epoch, datetime.now(UTC), _BATCH)
        if not rows:
            return 0
        await self._queue.put([Entry(row.arq_id or row.id, row.kind, row.queue, row.run_at) for row in rows])
        async with self._ledger.database.begin() as connection:
            await dispatching.note_dispatched(connection, [(row.id, row.attempt) for row in rows], epoch)
        return len(rows)

    async def _mend_ledger(self) -> None:
        now = datetime.now(UTC)
        async with self._ledger.database.begin() as connection:
            await dispatching.promote_due(connection, now, _BATCH)
            expired = await record_expired(connection, self._rescuer, now, _BATCH)
        if expired:
            log.warning("jobs_expired", jobs=expired)

    async def _rescue(self) -> None:
        """Take the jobs of silent workers from them; they wait to be dispatched or, after too many crashes, fail."""
        async with self._ledger.database.begin() as connection:
            dead = await liveness.declare_dead(connection, await self._ledger.database.now(connection))
        if dead:
            log.error("workers_declared_dead", workers=dead)
        async with self._ledger.read() as connection:
            orphans = await liveness.orphans(connection, _BATCH)
        for row in orphans:
            await self._rescue_one(row)

    async def _rescue_one(self, row: Any) -> None:
        finished = await self._ledger.finish(self._crash_of(row))
        if finished is not None:
            log.warning("job_rescued", job_id=row.id, kind=row.kind, crashes=row.crashes + 1, state=finished.state)

    def _crash_of(self, row: Any) -> Finish:
        crashes = row.crashes + 1
        last = crashes >= self._max_crashes
        message = f"Worker {row.worker} died while it ran this job."
        if last:
            message += f" That was crash {crashes} of at most {self._max_crashes}: the job is not tried again."
        return Finish(
            id=row.id,
            kind=row.kind,
            attempt=row.attempt,
            worker=self._rescuer,
            outcome=Outcome.CRASHED,
            state=State.FAILED if last else State.QUEUED,
            at=datetime.now(UTC),
            crashes=1,
            failure=Failure("Crashed", message),
        )
