"""Looks jobs up for all who ask at the same time: a thousand callers share one connection, and some ten queries."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import RowMapping

from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.deadline import in_time
from service.ledger.reads import jobs as queries

_MOST_IN_A_QUERY = 100


class Found(NamedTuple):
    """A job's row and those of its attempts."""

    job: RowMapping
    attempts: Sequence[RowMapping]


class Lookups:
    """Reads jobs and their attempts, together for all who wait when a query begins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, asyncio.Future[Found | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def find(self, job_id: str) -> Found | None:
        """Find a job as it is now; None when there is none. Raises `LedgerUnavailable`."""
        answer = self._waiting.get(job_id)
        if answer is None:
            answer = self._waiting[job_id] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_note_error)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_while_asked(), name="lookups")
        return await asyncio.shield(answer)

    async def _read_while_asked(self) -> None:
        try:
            while self._waiting:
                asked = dict(list(self._waiting.items())[:_MOST_IN_A_QUERY])
                for job_id in asked:
                    del self._waiting[job_id]
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[str, asyncio.Future[Found | None]]) -> None:
        try:
            found = await in_time(self._read(list(asked)))
        except BaseException as error:
            reason = error if isinstance(error, Exception) else LedgerUnavailable("The service is stopping.")
            for answer in asked.values():
                answer.set_exception(reason)
            if not isinstance(error, Exception):
                raise
            return
        for job_id, answer in asked.items():
            answer.set_result(found.get(job_id))

    async def _read(self, ids: Sequence[str]) -> dict[str, Found]:
        async with self._database.connect() as connection:
            rows = await queries.get_jobs(connection, ids)
            attempts = await queries.get_attempts(connection, [row["id"] for row in rows])
        return {row["id"]: Found(row, attempts[row["id"]]) for row in rows}


def _note_error(answer: asyncio.Future[Found | None]) -> None:
    """Those who asked may have gone; asyncio need not complain of an error that nobody has seen."""
    if not answer.cancelled():
        answer.exception()
