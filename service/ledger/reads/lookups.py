"""Looks jobs up for all callers at the same time: a thousand of them share one connection and some ten queries."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import RowMapping

from service.ledger.database import Database
from service.ledger.deadline import in_time
from service.ledger.reads import jobs as queries
from service.ledger.reads.flows import UNRELATED, Relations, relations_of
from service.ledger.reads.kept import NOTHING_KEPT, Kept, kept_by
from service.ledger.traits import Trait
from service.shared_reads import SharedReads

_MOST_IN_A_QUERY = 100


class Found(NamedTuple):
    """A job's row and its attempts' rows, its relations to other jobs, and what it has kept."""

    job: RowMapping
    attempts: Sequence[RowMapping]
    relations: Relations = UNRELATED
    kept: Kept = NOTHING_KEPT


class Lookups:
    """Reads jobs and their attempts, together for all callers that wait when a query begins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = SharedReads(lambda ids: in_time(self._read(ids)), fresh_for_s=0, at_once=_MOST_IN_A_QUERY)

    async def find(self, job_id: str) -> Found | None:
        """Find a job as it is now; None if it does not exist. Raises `LedgerUnavailable`."""
        return (await self._reads.of([job_id]))[job_id]

    async def _read(self, ids: Sequence[str]) -> Mapping[str, Found | None]:
        async with self._database.connect() as connection:
            rows = await queries.get_jobs(connection, ids)
            attempts = await queries.get_attempts(connection, [row["id"] for row in rows])
            relations = await relations_of(connection, rows)
            kept = await kept_by(connection, [row["id"] for row in rows if row["traits"] & Trait.STEPS.value])
        beside = {row["id"]: (relations.get(row["id"], UNRELATED), kept.get(row["id"], NOTHING_KEPT)) for row in rows}
        found = {row["id"]: Found(row, attempts[row["id"]], *beside[row["id"]]) for row in rows}
        return {job_id: found.get(job_id) for job_id in ids}
