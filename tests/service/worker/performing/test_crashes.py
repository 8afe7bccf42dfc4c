"""How a worker ends: in order where somebody asked for it, else as a crash. Nothing that hangs keeps it."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs import Kind
from service.ledger.reads.workers import living_workers
from service.settings import Settings
from service.tables import workers
from tests.service.worker.desk import Desk, open_desk
from tests.support.ends_kinds import (
    cancel_all,
    deaf,
    exit_again_and_again,
    exit_in_a_child,
    exit_of_nobody,
    hang,
    leave,
    rest,
)
from tests.support.running import eventually
from tests.support.worker_process import registered, worker_process

MODULE = "tests.support.ends_kinds"
pytestmark = [pytest.mark.parametrize("database_url", ["sqlite"], indirect=True), pytest.mark.timeout(180)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "log_level": "INFO", "max_jobs": 8, "grace_s": 60})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *jobs.load((MODULE,)).values()) as opened:
        yield opened


async def _runs(desk: Desk, kind: Kind[Any, Any], **args: Any) -> str:
    job_id = await desk.enqueue(kind, args)
    await desk.running(job_id)
    return job_id


async def test_sys_exit_of_a_child_ends_its_attempt_and_nothing_else(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        neighbour = await _runs(desk, rest, seconds=100)
        for by in ("task", "grandchild", "group", "callback", "thread"):
            row = await desk.ended(await desk.enqueue(exit_in_a_child, {"by": by}))
            assert (by, row["state"], row["error_type"], row["crashes"]) == (by, "failed", "KindExited", 0)
        row = await desk.row(neighbour)
        assert (row["state"], row["attempt"]) == ("running", 1)
        assert worker.status is None
        await desk.lifecycle.cancel(neighbour)
        assert (await desk.ended(neighbour))["state"] == "cancelled"
        worker.send(Signals.SIGTERM)
        assert await worker.ended(30) == 0


async def test_worker_that_ends_without_being_asked_to_has_crashed_at_once(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        neighbour = await _runs(desk, rest, seconds=100)
        poison = await desk.enqueue(exit_of_nobody)
        assert await worker.ended(30) == 1
        for job_id in (poison, neighbour):
            row = await desk.row(job_id)
            assert (row["state"], row["crashes"], row["error_type"]) == ("queued", 1, "Crashed")
        for told in ("worker_crashed", poison, "ends_worker_exit", "SystemExit"):
            assert worker.said(told)


async def test_worker_whose_tasks_a_kind_cancels_has_crashed_at_once(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        poison = await desk.enqueue(cancel_all)
        assert await worker.ended(30) == 1
        row = await desk.row(poison)
        assert (row["state"], row["crashes"], row["error_type"]) == ("queued", 1, "Crashed")
        assert worker.said("worker_crashed")


async def test_isolated_job_of_a_worker_that_crashed_is_handed_back(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    suspect = await desk.record_suspect(rest, {"seconds": 100})
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)

        async def rests() -> bool:
            return bool((await desk.row(suspect))["progress_done"] == 1)

        await eventually(rests)
        await desk.enqueue(exit_of_nobody)
        assert await worker.ended(30) == 1
    row = await desk.row(suspect)
    assert (row["state"], row["crashes"], row["error_type"]) == ("queued", 2, "Interrupted")


async def test_kind_that_exits_while_its_worker_stops_does_not_cut_the_stop_short(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        assert (await desk.ended(await desk.enqueue(exit_again_and_again)))["state"] == "succeeded"
        worker.send(Signals.SIGTERM)
        assert await worker.ended(30) == 0
    async with desk.ledger.read() as connection:
        (ended,) = await connection.execute(select(workers.c.ended_at, workers.c.declared_dead))
    assert ended.ended_at is not None
    assert ended.declared_dead == 0


async def test_as_many_hung_threads_as_jobs_end_the_worker_with_a_sentence(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"max_jobs": 2})
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        assert (await desk.ended(await desk.enqueue(hang, {"seconds": 600})))["error_type"] == "TimedOut"
        assert (await desk.ended(await desk.enqueue(rest)))["state"] == "succeeded"
        assert (await desk.ended(await desk.enqueue(hang, {"seconds": 600})))["error_type"] == "TimedOut"
        assert await worker.ended(60) == 1
        assert worker.said("thread_hangs")
        assert worker.said("error: 2 calls in threads hang, as many as POSTLUDE_MAX_JOBS")
        assert not worker.said("worker_exit_forced")


@pytest.mark.parametrize(("kind", "args"), [(hang, {"seconds": 600}), (leave, {"how": "thread"})])
async def test_idle_worker_does_not_wait_for_threads_when_it_is_stopped(
    desk: Desk, settings: Settings, tmp_path: Path, kind: Kind[Any, Any], args: dict[str, Any]
) -> None:
    async with worker_process(settings.model_copy(update={"grace_s": 600}), tmp_path) as worker:
        await registered(worker)
        await desk.ended(await desk.enqueue(kind, args))
        worker.send(Signals.SIGTERM)
        assert await worker.ended(60) == 0


async def test_stopped_worker_whose_loop_is_blocked_ends_within_5_s_after_the_grace(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"grace_s": 1})
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        await desk.enqueue(deaf, {"seconds": 600})

        async def blocks() -> bool:
            return worker.said("loop_blocked")

        await eventually(blocks)
        stopped_at = time.monotonic()
        worker.send(Signals.SIGTERM)
        assert await worker.ended(60) == 0
        assert time.monotonic() - stopped_at < settings.grace_s + 5 + 10  # what a busy machine adds
        assert worker.said("worker_exit_forced")


async def test_burst_does_not_wait_for_threads(desk: Desk, settings: Settings, tmp_path: Path) -> None:
    hung = await desk.enqueue(hang, {"seconds": 600})
    async with worker_process(settings, tmp_path, "--burst") as worker:
        assert await worker.ended(60) == 0
    assert (await desk.row(hung))["error_type"] == "TimedOut"


async def test_hung_threads_are_in_the_workers_row(desk: Desk, settings: Settings, tmp_path: Path) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        await desk.ended(await desk.enqueue(hang, {"seconds": 600}))

        async def counted() -> bool:
            async with desk.ledger.read() as connection:
                living = await living_workers(connection, await desk.ledger.database.now(connection))
            return [one["hung_threads"] for one in living] == [1]

        await eventually(counted)
