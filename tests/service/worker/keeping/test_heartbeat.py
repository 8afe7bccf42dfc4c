"""The lease is renewed from a thread of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel
from sqlalchemy import select, update

from jobs import Context, job
from service.ledger.records.workers import record_registered
from service.settings import Settings
from service.tables import workers
from service.worker.keeping import heartbeat, loop_watch
from service.worker.keeping.heartbeat import Heartbeat
from service.worker.keeping.loop_watch import LoopWatch
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.writing import writing

BLOCKED_AFTER_S = 0.5


class Nothing(BaseModel):
    """No args."""


@job("stubborn", timeout=60)
async def stubborn(_ctx: Context, _args: Nothing) -> None:
    await asyncio.sleep(50)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat so often that a test need not wait."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY", timedelta(seconds=0.05))


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, stubborn) as opened:
        yield opened


@asynccontextmanager
async def _beating(desk: Desk, lost: list[str]) -> AsyncIterator[LoopWatch]:
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(
            record_registered, datetime.now(UTC), id="w", hostname="here", pid=1, queues="default"
        )
    watch = LoopWatch(list, end=lambda: None)
    beating = Heartbeat(desk.resources.settings.sqlalchemy_url, watch, worker_id=lambda: "w", on_lost=lost.append)
    beating.start()
    try:
        yield watch
    finally:
        await beating.stop()


async def _worker(desk: Desk) -> dict[str, object]:
    async with desk.ledger.read() as connection:
        return dict((await connection.execute(select(workers).where(workers.c.id == "w"))).mappings().one())


async def test_lease_is_renewed_while_the_loop_is_blocked(desk: Desk) -> None:
    async with _beating(desk, []):
        first = await eventually(lambda: _beaten_since(desk, None))
        time.sleep(1.0)  # the loop is blocked: what is read next was written meanwhile
        row = await _worker(desk)
        assert row["heartbeat_at"] - first > timedelta(seconds=0.3)  # type: ignore[operator]


async def test_blocked_loop_shows_in_the_workers_row_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY", timedelta(hours=1))
    monkeypatch.setattr(loop_watch, "BLOCKED_AFTER_S", BLOCKED_AFTER_S)
    async with _beating(desk, []) as watch:
        await eventually(lambda: _beaten_since(desk, None))
        while not watch.blocked:
            time.sleep(0.1)  # blocks the loop, as a kind would
        give_up_at = time.monotonic() + 10
        while (row := await _worker(desk))["loop_lag_s"] == 0 and time.monotonic() < give_up_at:
            time.sleep(0.05)
        assert row["loop_lag_s"] >= BLOCKED_AFTER_S  # type: ignore[operator]


async def test_declared_dead_is_heard_on_the_loop(desk: Desk) -> None:
    lost: list[str] = []
    async with _beating(desk, lost):
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(workers).values(ended_at=datetime.now(UTC), declared_dead=1))

        async def heard() -> bool:
            return lost[:1] == ["w"]

        await eventually(heard)


@pytest.mark.usefixtures("swept_at_once")
async def test_worker_whose_lease_is_taken_stops_its_jobs_and_goes_on_under_a_new_id(
    desk: Desk, settings: Settings
) -> None:
    job_id = await desk.enqueue(stubborn)
    async with running_worker(settings.model_copy(update={"grace_s": 0.1}), catalogue_of(stubborn)):
        first = (await desk.running(job_id))["worker"]
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(workers).values(ended_at=datetime.now(UTC), declared_dead=1))

        async def runs_under_another() -> bool:
            row = await desk.row(job_id)
            return bool(row["state"] == "running" and row["worker"] != first)

        await eventually(runs_under_another)
    assert (await desk.outcomes(job_id))[0] in ("interrupted", "crashed")


async def _beaten_since(desk: Desk, before: datetime | None) -> datetime | None:
    row = await _worker(desk)
    beaten: datetime = row["heartbeat_at"]  # type: ignore[assignment]
    return beaten if beaten > row["started_at"] else before  # type: ignore[operator]
