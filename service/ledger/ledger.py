"""The ledger as the rest of the service sees it: awaitable writes in groups, and connections to read from."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from service.errors import ParentFailed, UniqueKeyTaken
from service.ledger.changes import Changed
from service.ledger.database import STATEMENT_LIMIT_S, Database
from service.ledger.group_commit import GroupCommit, Operations
from service.ledger.models import Enqueue, Enqueued, Finish, Finished, Start, Started
from service.ledger.outages import is_data_error
from service.ledger.purge import purge
from service.ledger.reads.edges import broken_parent
from service.ledger.reads.lookups import Found, Lookups
from service.ledger.records.advanced import Advance, record_advanced
from service.ledger.records.cancelled import Cancel, Cancelled, record_cancelled
from service.ledger.records.changed import Change, record_changed
from service.ledger.records.conflicts import Overtaken
from service.ledger.records.edited import record_replayed_edited
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.finished import record_finished
from service.ledger.records.kept import Checkpoint, Step, record_checkpoints, record_steps
from service.ledger.records.progressed import Progress, record_progress
from service.ledger.records.purged import PurgeOfJobs
from service.ledger.records.replayed import Replay, Replayed, record_replayed
from service.ledger.records.started import record_started
from service.ledger.records.ticked import Tick, Ticked, record_ticks
from service.ledger.states import State
from service.vault import OPEN_VAULT, Vault

_SQLITE_GAP_S = 0.001
# How often another request may come between what a request finds and what it writes.
_TRIES = 5
_CLOSE_WITHIN_S = 3


class Ledger:
    """Every method that writes returns once its write is committed, and raises `LedgerUnavailable` if it cannot be."""

    def __init__(self, database: Database, *, retention: timedelta, belongings: Sequence[PurgeOfJobs] = ()) -> None:
        self.database = database
        self.retention = retention
        self.belongings = belongings
        self.vault = database.vault
        self._lookups = Lookups(database)
        self._group_commit = _group_commit(database)
        # SQLite has one writer; elsewhere finishes are committed beside starts.
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
        vault: Vault = OPEN_VAULT,
    ) -> AsyncIterator["Ledger"]:
        """Open the ledger at a SQLAlchemy URL; on closing, commit the waiting writes, unless that takes too long.

        `belongings` delete what features keep of purged jobs. `vault` seals secrets.
        """
        database = Database.open(url, limit_s=statement_limit_s, vault=vault)
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
        """Find a job with its attempts, in one query for all callers of the same time."""
        return await self._lookups.find(job_id)

    async def enqueue(self, request: Enqueue) -> Enqueued:
        """Record a request's jobs. Raises `Conflict` if other jobs stand in their way."""
        for _ in range(_TRIES):
            try:
                [enqueued] = await self._group_commit.write(record_enqueued, [request], weight=len(request.jobs))
            except Overtaken:
                continue
            if enqueued.refusal is not None:
                raise enqueued.refusal
            return enqueued
        raise UniqueKeyTaken("Too many jobs contend for the same unique_key or id. Send the request again.")

    async def start(self, start: Start) -> dict[str, Started]:
        """Begin attempts; return, by id, the jobs that may start."""
        return (await self._group_commit.write(record_started, [start], weight=len(start.ids)))[0]

    async def finish(self, finish: Finish) -> Finished | None:
        """End an attempt; return None if it had been taken away."""
        return (await self._finishes.write(record_finished, [finish]))[0]

    async def finish_all(self, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        """End attempts, all or none of them; return None for each that had been taken away."""
        return await self._finishes.write(record_finished, finishes)

    async def cancel(self, job_id: str, writer: str, at: datetime) -> Cancelled | None:
        """Cancel a job: a waiting one at once, a running one as soon as it has stopped.

        Returns None if it is too late.
        """
        return (await self._group_commit.write(record_cancelled, [Cancel(job_id, writer, at)]))[0]

    async def replay(
        self, job_id: str, at: datetime, *, from_start: bool = False, change: Change | None = None
    ) -> bool:
        """Put a failed or cancelled job back, with a `change` if given; return False if its state forbids it.

        Raises `UniqueKeyTaken`, and `ParentFailed` if it needs a job that has failed.
        """
        replayed = await self.try_replay(job_id, at, from_start=from_start, change=change)
        if replayed is Replayed.PARENT_FAILED:
            raise await self._parent_failed(job_id)
        if replayed is Replayed.UNIQUE_KEY_TAKEN:
            raise UniqueKeyTaken("Another live job has taken this job's unique_key since it ended.")
        return replayed is Replayed.YES

    async def _parent_failed(self, job_id: str) -> ParentFailed:
        async with self.read() as connection:
            parent = await broken_parent(connection, job_id)
        which = "A job" if parent is None else "Job {} ({})".format(*parent)
        how = "was cancelled" if parent is not None and parent[2] == State.CANCELLED else "failed"
        return ParentFailed(f"{which} {how}, and this one needs it: replay that one, and this one follows.")

    async def try_replay(
        self, job_id: str, at: datetime, *, from_start: bool = False, change: Change | None = None
    ) -> Replayed:
        """Put a failed or cancelled job back, or say why not. Simultaneous replays share one statement."""
        replay = Replay(job_id, at, from_start)
        try:
            if change is not None:
                return await self.database.run(partial(record_replayed_edited, replay=replay, change=change))
            return (await self._group_commit.write(record_replayed, [replay]))[0]
        except IntegrityError:
            return Replayed.UNIQUE_KEY_TAKEN

    async def change(self, changes: Sequence[Change]) -> Sequence[Changed]:
        """Change jobs that have not started; return the result for each."""
        return await self._group_commit.write(record_changed, changes)

    async def advance(self, job_id: str, at: datetime) -> Changed:
        """Make a job that waits for its time due."""
        return (await self._group_commit.write(record_advanced, [Advance(job_id, at)]))[0]

    async def progress(self, job_id: str, attempt: int, done: int, total: int | None) -> None:
        """Note how far an attempt is."""
        await self._group_commit.write(record_progress, [Progress(job_id, attempt, done, total)])

    async def keep_step(self, step: Step) -> bool:
        """Keep the result of a step; return False if the attempt was taken away.

        Safe to repeat: the first result stays.
        """
        return (await self._group_commit.write(record_steps, [step]))[0]

    async def keep_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Keep an attempt's checkpoint; return False if the attempt was taken away."""
        return (await self._group_commit.write(record_checkpoints, [checkpoint]))[0]

    async def tick(self, wanted: Sequence[Tick], *, writer: str, now: datetime) -> Ticked:
        """Record ticks with their jobs; see `record_ticks`."""
        return await self.database.run(partial(record_ticks, wanted=wanted, writer=writer, now=now))

    async def purge(
        self, older_than: timedelta, *, failed_older_than: timedelta | None = None, dry_run: bool
    ) -> dict[str, int]:
        """Delete what is older than `older_than`, failed jobs past `failed_older_than`; see `purge.purge`."""
        failed = older_than if failed_older_than is None else failed_older_than
        return await purge(self.database, older_than, failed, dry_run=dry_run, belongings=self.belongings)

    def read(self, *, streams: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a connection for the functions of `reads`; see `Database.connect`."""
        return self.database.connect(streams=streams)

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a fresh session for a job."""
        return self.database.session()


def _group_commit(database: Database) -> GroupCommit:
    gap_s = _SQLITE_GAP_S if database.dialect == "sqlite" else 0.0

    async def transact(operations: Operations) -> Sequence[Sequence[Any]]:
        return await database.transact(operations, is_one_statement=_is_one_start(operations))

    return GroupCommit(transact, is_data_error=is_data_error, gap_s=gap_s)


def _is_one_start(operations: Operations) -> bool:
    """Whether this is a single start, as nearly all are while a worker has little to do: one statement on Postgres.

    It may then read results of parents a moment later, which does no harm.
    """
    (operation, rows), *others = operations
    return operation is record_started and len(rows) == 1 and not others
