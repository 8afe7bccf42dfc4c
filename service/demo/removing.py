"""Removes the demo: its jobs by their tag, and everything recorded with them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, Table, func, select, true

from service.access_tables import trail
from service.demo.filling import LANES
from service.demo.operations import PRINCIPALS
from service.demo.schedules import told_schedules
from service.demo.staff import API, PREFIX, QUEUE
from service.demo.story import TAG
from service.errors import LaneNotFound
from service.figure_tables import durations, event_counts, failure_counts, failure_groups, lane_starts, levels
from service.lanes.lanes import Lanes
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.records.cancelled import Cancel, Cancelled, record_cancelled
from service.ledger.records.flows import record_flows_purged
from service.ledger.records.followups import record_followups
from service.ledger.records.purged import PURGE_BATCH, delete_jobs, record_rows_purged
from service.ledger.records.schedules import record_schedule_deleted
from service.operation_tables import operation_failures, operation_members, operations
from service.queue import UNREACHABLE, Queue
from service.tables import job_tags, tallies, ticks, workers


class Removing:
    """Every step is safe to repeat, so a removal that was interrupted is finished by running it again."""

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self._ledger = ledger
        self._run = ledger.database.run
        self._lanes = Lanes(ledger, queue)
        self._queue = queue

    async def remove(self) -> int:
        """Remove the demo; return how many jobs were deleted. Lanes go last, when nothing waits in them any more."""
        async with self._ledger.read() as connection:
            ended = select(func.max(workers.c.ended_at, type_=workers.c.ended_at.type)).where(_is_demo(workers))
            made_at = (await connection.execute(ended)).scalar_one()
            names = [told.said.name for told in told_schedules(await self._ledger.database.now(connection))]
        await self._run(partial(_record_schedules_deleted, names=names))
        deleted = await self._delete_jobs()
        for table, of_demo in _rows(names):
            await self._purge(table, of_demo)
        if made_at is not None:
            await self._purge_figures(made_at)
        await self._purge(workers, _is_demo(workers))
        for key in LANES:
            await self._let_go(key)
        return deleted

    async def _delete_jobs(self) -> int:
        deleted = 0
        while ids := await self._tagged():
            cancelled = await self._run(partial(_record_cancelled, ids=ids))
            if cancelled:
                with suppress(*UNREACHABLE):  # the first worker that claims an id that stays there drops it
                    await self._queue.remove(QUEUE, [one.member.encode() for one in cancelled])
            gone = await self._run(partial(delete_jobs, ids=ids, belongings=self._ledger.belongings))
            deleted += gone["jobs"]
        await self._run(lambda connection: record_flows_purged(connection, now_by(connection), PURGE_BATCH))
        return deleted

    async def _tagged(self) -> Sequence[str]:
        async with self._ledger.read() as connection:
            found = select(job_tags.c.job_id).where(job_tags.c.tag == TAG).order_by(job_tags.c.created_at)
            return (await connection.execute(found.limit(PURGE_BATCH))).scalars().all()

    async def _purge_figures(self, made_at: datetime) -> None:
        """Delete the figures up to then. The ledger was empty before, so they are the demo's, merged ones included.

        All totals of events go, because they include what the demo has counted.
        """
        await self._purge(event_counts, true())
        await self._purge(levels, levels.c.at <= made_at)
        await self._purge(durations, durations.c.bucket_at <= made_at)
        await self._purge(lane_starts, lane_starts.c.bucket_at <= made_at)
        await self._purge(failure_counts, failure_counts.c.bucket_at <= made_at)
        await self._purge(failure_groups, failure_groups.c.first_at <= made_at)

    async def _purge(self, table: Table, of_demo: ColumnElement[bool]) -> None:
        while await self._run(partial(record_rows_purged, table=table, expired=of_demo)) == PURGE_BATCH:
            pass

    async def _let_go(self, key: str) -> None:
        try:
            await self._lanes.delete(key)
        except LaneNotFound:  # somebody has done it by hand
            return


def _rows(names: Sequence[str]) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return which rows, besides its jobs, are the demo's, by table."""
    asked = operations.c.principal.in_(PRINCIPALS)
    ids = select(operations.c.id).where(asked)
    return [
        (operation_failures, operation_failures.c.operation_id.in_(ids)),
        (operation_members, operation_members.c.operation_id.in_(ids)),
        (operations, asked),
        (ticks, ticks.c.kind.in_(names)),
        (trail, trail.c.principal.in_(PRINCIPALS)),
        (tallies, tallies.c.writer.startswith(PREFIX, autoescape=True)),
    ]


def _is_demo(table: Table) -> ColumnElement[bool]:
    return table.c.id.startswith(PREFIX, autoescape=True)


def _record_schedules_deleted(connection: Connection, names: Sequence[str]) -> None:
    for name in names:
        record_schedule_deleted(connection, name)


def _record_cancelled(connection: Connection, ids: Sequence[str]) -> Sequence[Cancelled]:
    """Cancel the jobs that have not ended, and decide what comes after them, so that all can be deleted."""
    now = now_by(connection)
    cancelled = record_cancelled(connection, [Cancel(job_id, API, now) for job_id in ids])
    while record_followups(connection, now, API).left:
        pass
    return [one for one in cancelled if one is not None]
