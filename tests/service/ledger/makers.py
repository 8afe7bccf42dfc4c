"""Makes jobs, workers and requests for the ledger's tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import uuid_utils
from sqlalchemy import Engine

from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Finish, IdempotencyKey, NewJob, Start, Started
from service.ledger.reads.jobs import get_attempts, get_job
from service.ledger.records.lanes import Rebuild, record_rebuild
from service.ledger.records.workers import record_registered
from service.ledger.sqlite_writer import SqliteWriter
from service.ledger.states import Outcome, State
from tests.support.writing import writing

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def new_job(**fields: Any) -> NewJob:
    job = NewJob(
        id=str(uuid_utils.uuid7()),
        kind="greet",
        state=State.QUEUED,
        queue="default",
        args="{}",
        run_at=NOW,
        created_at=NOW,
        max_attempts=3,
    )
    return replace(job, **fields)


async def enqueue(ledger: Ledger, *jobs: NewJob, key: IdempotencyKey | None = None) -> Any:
    return await ledger.enqueue(Enqueue(jobs=jobs, writer="test", key=key))


def engine_of(database: Database) -> Engine:
    """Return the engine that group commits go over."""
    return database._writer.engine if isinstance(database._writer, SqliteWriter) else database._writer.sync_engine


def engines_of(database: Database) -> set[Engine]:
    """Return the engines that the ledger reads and writes over."""
    return {engine_of(database), database._reader.sync_engine}


async def live_worker(ledger: Ledger, worker_id: str = "w1", at: datetime = NOW) -> str:
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_registered, at, id=worker_id, hostname="here", pid=1, queues="default")
    return worker_id


async def start(ledger: Ledger, job_id: str, worker: str = "w1", at: datetime = NOW) -> Started | None:
    return (await ledger.start(Start((job_id,), worker, ("greet",), at))).get(job_id)


async def job_row(ledger: Ledger, job_id: str) -> Any:
    async with ledger.read() as connection:
        return await get_job(connection, job_id)


async def attempt_rows(ledger: Ledger, job_id: str) -> Any:
    async with ledger.read() as connection:
        return (await get_attempts(connection, [job_id]))[job_id]


def finish(started: Started, outcome: Outcome, state: State, **fields: Any) -> Finish:
    return Finish(started.id, started.kind, started.attempt, started.worker, outcome, state, NOW, **fields)


async def running(ledger: Ledger, **fields: Any) -> Started:
    await live_worker(ledger)
    job = new_job(**fields)
    await enqueue(ledger, job)
    started = await start(ledger, job.id)
    assert started is not None
    return started


async def build_lanes(ledger: Ledger, epoch: str = "epoch-1") -> Rebuild:
    """Make `epoch` the epoch of lanes."""
    return await ledger.database.run(partial(record_rebuild, epoch=epoch))


async def start_in_lane(
    ledger: Ledger, *job_ids: str, strict: Sequence[str] = (), epoch: str = "epoch-1"
) -> dict[str, Started]:
    """Start jobs that were claimed from lanes, keeping the order of lanes in `strict`."""
    order = tuple((job_id, lane) for job_id in job_ids for lane in strict)
    return await ledger.start(Start(job_ids, "w1", ("greet",), NOW, lanes_epoch=epoch, strict=order))
