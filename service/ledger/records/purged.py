"""Deletes what is past its retention, in batches small enough that nobody waits for them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.records.guards import found_by_state, state_is
from service.ledger.states import TERMINAL
from service.tables import attempts, idempotency_keys, job_listing, job_tags, jobs, tallies, ticks, workers

_BATCH = 500
_TALLIES_KEPT = timedelta(days=1)
# A worker that is late to see a tick come due must find that another has enqueued it.
_TICKS_KEPT = timedelta(days=1)
# Deletes what a feature keeps of the jobs with the given ids, in the transaction that deletes the jobs.
PurgeOfJobs = Callable[[Connection, Sequence[str]], None]


def rows_of_jobs(table: Table) -> PurgeOfJobs:
    """Return the purge of a table whose rows belong to jobs, by their `job_id`."""

    def purge(connection: Connection, ids: Sequence[str]) -> None:
        connection.execute(delete(table).where(table.c.job_id.in_(ids)))

    return purge


async def purge(
    database: Database, *, older_than: timedelta, dry_run: bool, belongings: Sequence[PurgeOfJobs] = ()
) -> dict[str, int]:
    """Delete terminal jobs with their attempts and tags, ticks and ended workers older than `older_than`, and
    idempotency keys that have expired. The latest tick of each kind stays.

    Return the number of rows by table; with `dry_run` nothing is deleted.
    """
    async with database.connect() as connection:
        now = await database.now(connection)
    before = now - older_than
    deleted = await _purge_jobs(database, before, belongings, dry_run=dry_run)
    for table, expired in (
        (ticks, _is_old_tick(min(before, now - _TICKS_KEPT), now)),
        (workers, workers.c.ended_at < before),
        (idempotency_keys, idempotency_keys.c.expires_at < now),
    ):
        deleted[table.name] = await _purge_table(database, table, expired, dry_run=dry_run)
    if not dry_run:
        await _fold_tallies(database, now - _TALLIES_KEPT)
    return deleted


async def _purge_jobs(
    database: Database, before: datetime, belongings: Sequence[PurgeOfJobs], *, dry_run: bool
) -> dict[str, int]:
    if dry_run:
        old, mine = _is_old(before), select(jobs.c.id).where(_is_old(before))
        async with database.connect() as connection:
            return {
                "jobs": await _count(connection, jobs, old),
                "attempts": await _count(connection, attempts, attempts.c.job_id.in_(mine)),
            }
    counts = {"jobs": 0, "attempts": 0}
    while True:
        async with database.begin() as connection:
            ids = (await connection.execute(old_jobs(before))).scalars().all()
            if not ids:
                return counts
            for table, gone in (await delete_jobs(connection, ids, belongings)).items():
                counts[table] += gone


def old_jobs(before: datetime) -> Select[Any]:
    """Choose a batch of jobs that ended before then, the oldest first: else Postgres may think it finds them soon in
    a walk through all.
    """
    return select(jobs.c.id).where(_is_old(before)).order_by(jobs.c.finished_at).limit(_BATCH)


def _is_old_tick(before: datetime, now: datetime) -> ColumnElement[bool]:
    """A kind's latest tick is kept for ever: what was missed since is told from it. A clock that was wrong may have
    left later ones, which tell nothing.
    """
    later = ticks.alias()
    is_not_latest = exists().where(later.c.kind == ticks.c.kind, later.c.due_at > ticks.c.due_at, later.c.due_at <= now)
    return (ticks.c.due_at < before) & is_not_latest


def _is_old(before: datetime) -> ColumnElement[bool]:
    return found_by_state(*TERMINAL) & (jobs.c.finished_at < before)


async def delete_jobs(
    connection: AsyncConnection, ids: Sequence[str], belongings: Sequence[PurgeOfJobs]
) -> dict[str, int]:
    """Delete terminal jobs with all that belongs to them; returns the number of rows by table."""
    # Jobs first: one that was replayed since it was chosen is no longer terminal, and keeps its attempts.
    deleted = delete(jobs).where(jobs.c.id.in_(ids), state_is(*TERMINAL)).returning(jobs.c.created_at, jobs.c.id)
    gone = [(created_at, job_id) for created_at, job_id in await connection.execute(deleted)]
    gone_ids = [job_id for _, job_id in gone]
    listed = tuple_(job_listing.c.created_at, job_listing.c.job_id)
    await connection.execute(delete(job_listing).where(listed.in_(gone)))
    await connection.execute(delete(job_tags).where(job_tags.c.job_id.in_(gone_ids)))
    for purge_of_jobs in belongings:
        await connection.run_sync(purge_of_jobs, gone_ids)
    removed = await connection.execute(delete(attempts).where(attempts.c.job_id.in_(gone_ids)))
    return {"jobs": len(gone_ids), "attempts": removed.rowcount}


async def _purge_table(database: Database, table: Table, expired: Any, *, dry_run: bool) -> int:
    if dry_run:
        async with database.connect() as connection:
            return await _count(connection, table, expired)
    key = tuple_(*table.primary_key.columns)
    chosen = select(*table.primary_key.columns).where(expired).limit(_BATCH)
    total = 0
    while True:
        async with database.begin() as connection:
            removed = (await connection.execute(delete(table).where(key.in_(chosen)))).rowcount
        total += removed
        if removed < _BATCH:
            return total


async def _count(connection: AsyncConnection, table: Table, condition: Any) -> int:
    return (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one()


async def _fold_tallies(database: Database, before: datetime) -> None:
    """Add up the counters of processes long gone under the writer '', so that totals never shrink."""
    folded = (tallies.c.writer == "") | (tallies.c.updated_at < before)
    async with database.begin() as connection:
        totals = await connection.execute(
            delete(tallies)
            .where(folded)
            .returning(tallies.c.kind, tallies.c.event, tallies.c["count"], tallies.c.updated_at)
        )
        sums: dict[tuple[str, str], tuple[int, datetime]] = {}
        for row in totals:
            count, updated_at = sums.get((row.kind, row.event), (0, row.updated_at))
            sums[row.kind, row.event] = count + row[2], max(updated_at, row.updated_at)
        if sums:
            rows = [
                {"writer": "", "kind": kind, "event": event, "count": count, "updated_at": updated_at}
                for (kind, event), (count, updated_at) in sums.items()
            ]
            await connection.execute(insert(tallies), rows)
