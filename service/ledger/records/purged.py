"""Rows past their retention are deleted, in batches small enough that nobody waits for them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, insert, select, tuple_

from service.fact_tables import log_lines, stack_wishes
from service.flow_tables import callback_jobs
from service.ledger.flow_guards import is_settled
from service.ledger.guards import state_is
from service.ledger.records.callbacks import delete_callbacks
from service.ledger.records.edges import delete_edges
from service.ledger.records.kept import delete_kept
from service.ledger.retention import folds_into_totals
from service.ledger.states import TERMINAL
from service.tables import attempts, job_listing, job_tags, jobs, tallies

PURGE_BATCH = 500
# Deletes a feature's rows of the jobs with the given ids, in the transaction that deletes the jobs.
PurgeOfJobs = Callable[[Connection, Sequence[str]], None]


def rows_of_jobs(table: Table) -> PurgeOfJobs:
    """Return the purge of a table whose rows belong to jobs, by their `job_id`."""

    def purge(connection: Connection, ids: Sequence[str]) -> None:
        connection.execute(delete(table).where(table.c.job_id.in_(ids)))

    return purge


def delete_jobs(connection: Connection, ids: Sequence[str], belongings: Sequence[PurgeOfJobs]) -> dict[str, int]:
    """Delete terminal jobs with everything that belongs to them; return the number of rows by table.

    Jobs that others still wait for, or that wait for others, stay.
    """
    # Jobs first: a job that was replayed since it was chosen is no longer terminal, and keeps its attempts.
    deleted = delete(jobs).where(jobs.c.id.in_(ids), state_is(*TERMINAL), is_settled())
    rows = connection.execute(deleted.returning(jobs.c.created_at, jobs.c.id, jobs.c.traits)).all()
    gone = [(row.created_at, row.id) for row in rows]
    gone_ids = [row.id for row in rows]
    if linked := [row.id for row in rows if row.traits]:
        delete_edges(connection, linked)
        delete_callbacks(connection, linked)
        delete_kept(connection, linked)
        connection.execute(delete(callback_jobs).where(callback_jobs.c.job_id.in_(linked)))
    if gone:
        connection.execute(_delete_listing(), [{"at": created_at, "of": job_id} for created_at, job_id in gone])
    for table in (job_tags, log_lines, stack_wishes):
        connection.execute(delete(table).where(table.c.job_id.in_(gone_ids)))
    for purge in belongings:
        purge(connection, gone_ids)
    removed = connection.execute(delete(attempts).where(attempts.c.job_id.in_(gone_ids)))
    return {"jobs": len(gone_ids), "attempts": removed.rowcount}


@cache
def _delete_listing() -> Any:
    """One by one: for a list of pairs, SQLite walks through all listed jobs."""
    at, of = bindparam("at", type_=job_listing.c.created_at.type), bindparam("of", type_=job_listing.c.job_id.type)
    return delete(job_listing).where(job_listing.c.created_at == at, job_listing.c.job_id == of)


def record_rows_purged(connection: Connection, table: Table, expired: ColumnElement[bool]) -> int:
    """Delete a batch of `expired` rows; return their number."""
    key = tuple_(*table.primary_key.columns)
    chosen = select(*table.primary_key.columns).where(expired).limit(PURGE_BATCH)
    return connection.execute(delete(table).where(key.in_(chosen))).rowcount


def record_tallies_folded(connection: Connection, before: datetime) -> None:
    """Add up the counters of processes long gone under the writer '', so that totals never shrink."""
    counted = (tallies.c.kind, tallies.c.event, tallies.c["count"], tallies.c.updated_at)
    sums: dict[tuple[str, str], tuple[int, datetime]] = {}
    for row in connection.execute(delete(tallies).where(folds_into_totals(before)).returning(*counted)):
        count, updated_at = sums.get((row.kind, row.event), (0, row.updated_at))
        sums[row.kind, row.event] = count + row[2], max(updated_at, row.updated_at)
    if sums:
        rows = [
            {"writer": "", "kind": kind, "event": event, "count": count, "updated_at": updated_at}
            for (kind, event), (count, updated_at) in sums.items()
        ]
        connection.execute(insert(tallies), rows)
