"""The ledger as the rest of the service sees it: awaitable writes in groups, and connections to read from."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from service.errors import UniqueKeyTaken
from service.ledger.database import STATEMENT_LIMIT_S, Database
from service.ledger.group_commit import GroupCommit
from service.ledger.models import Enqueue, Enqueued, Finish, Finished, NewJob, Start, Started
from service.ledger.outages import is_data_error
from service.ledger.purge import purge
from service.ledger.reads.lookups import Found, Lookups
from service.ledger.records.cancelled import Cancel, Cancelled, record_cancelled
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.finished import record_finished
from service.ledger.records.progressed import Progress, record_progress
from service.ledger.records.purged import PurgeOfJobs
from service.ledger.records.replayed import Replay, Replayed, record_replayed
from service.ledger.records.started import record_started
from service.ledger.records.ticked import record_tick

_SQLITE_GAP_S = 0.001
_CLOSE_WITHIN_S = 3


class Ledger:
    """Every method that writes returns once its write is committed, and raises `LedgerUnavailable` if it cannot be."""

    def __init__(self, database: Database, *, retention: timedelta, belongings: Sequence[PurgeOfJobs] = ()) -> None:
        self.database = database
        self.retention = retention
        self._belongings = belongings
        self._lookups = Lookups(database)
        self._group_commit = _group_commit(database)
        # SQLite has one writer; elsewhere what ends is committed beside what begins.
        self._finishes = self._group_commit if database.dialect == "sqlite" else _group_commit(database)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        retention: timedelta,
        belongings: Sequence[PurgeOfJobs] = (),
        statement_limit_s: float = STATEMENT_LIMIT_S,
    ) -> AsyncIterator["Ledger"]:
        """Open the ledger at a SQLAlchemy URL; at the end write what still waits, unless that takes too long.

        `belongings` delete what features keep of the jobs that are purged.
        """
        database = Database.open(url, limit_s=statement_limit_s)
        ledger = cls(database, retention=retention, belongings=belongings)
        tidying = asyncio.create_task(database.keep_few_connections(), name="idle-connections")
        try:
            yield ledger
        finally:
            tidying.cancel()
            await asyncio.wait([tidying])
            for groups in {ledger._group_commit, ledger._finishes}:
                await groups.close(within_s=_CLOSE_WITHIN_S)
            await database.close()

    async def find(self, job_id: str) -> Found | None:
        """Find a job with its attempts, in one query with all who ask at the same time."""
        return await self._lookups.find(job_id)

    async def enqueue(self, request: Enqueue) -> Enqueued:
        """Record a request's jobs."""
        return (await self._group_commit.write(record_enqueued, [request], weight=len(request.jobs)))[0]

    async def start(self, start: Start) -> dict[str, Started]:
        """Begin attempts; return, by id, the jobs that may start."""
        return (await self._group_commit.write(record_started, [start], weight=len(start.ids)))[0]

    async def finish(self, finish: Finish) -> Finished | None:
        """End an attempt; None when it had been taken away."""
        return (await self._finishes.write(record_finished, [finish]))[0]

    async def finish_all(self, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        """End attempts, all or none of them; None for each that had been taken away."""
        return await self._finishes.write(record_finished, finishes)

    async def cancel(self, job_id: str, writer: str, at: datetime) -> Cancelled | None:
        """Cancel a job: a waiting one is cancelled, a running one will be. None: it is too late."""
        return (await self._group_commit.write(record_cancelled, [Cancel(job_id, writer, at)]))[0]

    async def replay(self, job_id: str, at: datetime) -> bool:
        """Put a failed or cancelled job back; False where its state forbids it. Raises `UniqueKeyTaken`."""
        replayed = await self.try_replay(job_id, at)
        if replayed is Replayed.UNIQUE_KEY_TAKEN:
            raise UniqueKeyTaken("Another live job has taken this job's unique_key since it ended.")
        return replayed is Replayed.YES

    async def try_replay(self, job_id: str, at: datetime) -> Replayed:
        """Put a failed or cancelled job back, or say why not. Many at the same moment are one statement."""
        try:
            return (await self._group_commit.write(record_replayed, [Replay(job_id, at)]))[0]
        except IntegrityError:
            return Replayed.UNIQUE_KEY_TAKEN

    async def progress(self, job_id: str, attempt: int, done: int, total: int | None) -> None:
        """Note how far an attempt is."""
        await self._group_commit.write(record_progress, [Progress(job_id, attempt, done, total)])

    async def tick(self, kind: str, due_at: datetime, job: NewJob, *, cron: str, writer: str) -> bool:
        """Record a cron tick and its job; False when another worker was first."""
        record = partial(record_tick, kind=kind, due_at=due_at, job=job, cron=cron, writer=writer)
        return await self.database.run(record)

    async def purge(self, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
        """Delete what is older than `older_than`; see `purge.purge`."""
        return await purge(self.database, older_than=older_than, dry_run=dry_run, belongings=self._belongings)

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a connection for the functions of `reads`."""
        return self.database.connect()

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a fresh session for a job."""
        return self.database.session()


def _group_commit(database: Database) -> GroupCommit:
    gap_s = _SQLITE_GAP_S if database.dialect == "sqlite" else 0.0
    return GroupCommit(database.transact, is_data_error=is_data_error, gap_s=gap_s)
