"""A database that holds targets: the ledger's own, or another."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from jobs.csv.targets import Import, Standing
from service import agreed_time
from service.imports.records import record_begun, record_taken_over
from service.imports.refusals import told_apart
from service.ledger.database import Database

T = TypeVar("T")

STATEMENT_LIMIT_S = 30


class Place:
    """Writes and reads imports there. Both raise `TargetRefused` and `TargetAway`."""

    def __init__(self, database: Database, *, is_ledger: bool) -> None:
        self.database = database
        self._is_ledger = is_ledger

    async def write(self, write: Callable[[Connection], T]) -> T:
        """Run `write` in a transaction; on the ledger's Postgres one that does not hold up the ledger's own writes.

        On SQLite all writes wait for one lock anyway.
        """
        with told_apart():
            if self._is_ledger and self.database.dialect == "postgresql":
                return await self.database.run_for_job(write)
            return await self.database.run(write)

    async def read(self, read: Callable[[Connection], T]) -> T:
        with told_apart():
            async with self.database.connect() as connection:
                return await connection.run_sync(read)

    async def take_over(self, wanted: Import) -> Standing | None:
        """Take an import over for this attempt and return where it is; None if it has not begun."""
        return await self.write(
            lambda connection: record_taken_over(connection, wanted.job_id, wanted.attempt, agreed_time.now())
        )

    async def begin(self, wanted: Import, form: str) -> Standing:
        return await self.write(
            lambda connection: record_begun(connection, wanted.job_id, wanted.attempt, form, agreed_time.now())
        )
