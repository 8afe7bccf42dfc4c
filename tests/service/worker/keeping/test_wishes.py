"""Wishes about a worker are fulfilled within a second: stacks of attempts, and no new jobs."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select

import jobs
from jobs import Context, Kind, job
from service.fact_tables import stack_wishes
from service.ledger.reads.log_lines import LogLine, lines_of
from service.ledger.reads.stacks import Stack
from service.ledger.reads.workers import wishes_of
from service.ledger.records.stacks import record_stack_wish
from service.lifecycle.stacks import ask_for_stack, read_stack
from service.lifecycle.workers import drain, read_worker
from service.settings import Settings
from service.worker.keeping.wishes import Wishes
from service.worker.performing.attempt import performer_of
from service.worker.worker import Worker
from tests.service.api.driving import on_sqlite
from tests.service.worker.desk import Desk, open_desk
from tests.support import journey_kinds, process_kinds
from tests.support.gated_kinds import GATES, Gate, gated
from tests.support.running import catalogue_of, eventually, running_worker

MODULES = ("tests.support.process_kinds", "tests.support.journey_kinds")
held = threading.Event()


async def stand_here() -> None:
    await asyncio.sleep(600)


async def inner() -> None:
    secret = "nobody-sees-this"
    await stand_here()
    del secret


@job("wait_in_a_task", max_attempts=1)
async def wait_in_a_task(_ctx: Context) -> None:
    await asyncio.create_task(inner())


def hang_here() -> None:
    held.wait(60)


@job("wait_in_a_thread", max_attempts=1)
def wait_in_a_thread(_ctx: Context) -> None:
    hang_here()


def block_here(ledger: Engine, job_id: str) -> None:
    """Ask for the attempt's stack while it blocks the loop, until another thread has answered."""
    with ledger.begin() as connection:
        record_stack_wish(connection, job_id, datetime.now(UTC))
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        with ledger.connect() as connection:
            if connection.scalar(select(stack_wishes.c.taken_at)) is not None:
                return
        time.sleep(0.05)


@job("block", max_attempts=1)
async def block(ctx: Context, ledger_url: str) -> None:
    block_here(create_engine(ledger_url), ctx.job_id)


@job("rest")
async def rest(_ctx: Context) -> None: ...


OWN = (wait_in_a_task, wait_in_a_thread, block, rest, gated)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *OWN, *jobs.load(MODULES).values()) as opened:
        yield opened


async def stack_of(desk: Desk, job_id: str) -> str:
    await desk.running(job_id)
    wished = await ask_for_stack(desk.ledger, job_id)
    assert wished.taken_at is None

    async def answer() -> Stack | None:
        found = await read_stack(desk.ledger, job_id)
        return found if found.taken_at is not None else None

    found = await eventually(answer)
    assert found is not None
    assert found.stack is not None
    return found.stack


def functions(stack: str) -> list[str]:
    return [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File ")]


@on_sqlite
async def test_stack_names_where_a_coroutine_its_task_and_its_thread_stand(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings.model_copy(update={"grace_s": 0}), catalogue_of(*OWN)):
        in_task = await stack_of(desk, await desk.enqueue(wait_in_a_task))
        in_thread = await stack_of(desk, await desk.enqueue(wait_in_a_thread))
        held.set()
    assert functions(in_task)[-4:] == ["wait_in_a_task", "inner", "stand_here", "sleep"]
    assert "await stand_here()" in in_task
    assert "nobody-sees-this" not in in_task, "a stack has no variables"
    beginning, _, of_thread = in_thread.partition("In a thread:\n")
    assert functions(beginning)
    assert functions(of_thread)[:2] == ["wait_in_a_thread", "hang_here"]


@on_sqlite
async def test_stack_of_an_attempt_that_blocks_the_loop_comes_from_another_thread(
    desk: Desk, settings: Settings
) -> None:
    async with running_worker(settings, catalogue_of(*OWN)):
        ledger_url = settings.sqlalchemy_url.replace("+aiosqlite", "")
        job_id = await desk.enqueue(block, {"ledger_url": ledger_url})
        assert (await desk.ended(job_id))["state"] == "succeeded"
    found = await read_stack(desk.ledger, job_id)
    assert found.stack is not None
    assert found.stack.startswith("It blocks the event loop:\n")
    assert functions(found.stack)[:2] == ["block", "block_here"]


@on_sqlite
@pytest.mark.usefixtures("forked_suspects")
async def test_stack_and_lines_come_from_child_processes_too(desk: Desk, settings: Settings) -> None:
    changed = settings.model_copy(update={"grace_s": 0, "processes": 2, "jobs": MODULES})
    async with running_worker(changed, jobs.load(MODULES)):
        plain = await desk.enqueue(process_kinds.talk, {"how": ""})
        looped = await desk.enqueue(process_kinds.talk_in_a_loop, {"how": ""})
        alone = await desk.record_suspect(journey_kinds.talk, {"first_seconds": 60})
        assert functions(await stack_of(desk, plain))[-2:] == ["talk", "_stand_here"]
        assert functions(await stack_of(desk, looped))[:2] == ["talk_in_a_loop", "_wait_here"]
        assert functions(await stack_of(desk, alone))[-2:] == ["talk", "sleep"]

        async def lines(job_id: str) -> Sequence[LogLine]:
            async with desk.ledger.read() as connection:
                return await lines_of(connection, job_id)

        for job_id, text in ((plain, "talking"), (looped, "talking in a loop"), (alone, "talking alone")):
            [line] = await eventually(lambda of=job_id: lines(of))  # type: ignore[misc]
            assert line.text == text
            assert line.names.get("token") in (None, "**********")


async def takes_nothing(desk: Desk, worker: Worker, kind: Kind[Any, Any]) -> None:
    waits = await desk.enqueue(kind)
    for _ in range(3):  # as often as a claim may have been under way
        await asyncio.sleep(0.1)
    assert (await desk.row(waits))["state"] == "queued"
    assert not performer_of(worker.ctx).workload.running


@on_sqlite
async def test_draining_worker_ends_what_it_runs_takes_nothing_more_and_another_one_does(
    desk: Desk, settings: Settings
) -> None:
    deployed = settings.model_copy(update={"version": "2026-11-26.3"})
    async with running_worker(deployed, catalogue_of(*OWN)) as worker:
        GATES["drain"] = gate = Gate()
        running = await desk.enqueue(gated, {"gate": "drain"})
        await desk.running(running)
        workload = performer_of(worker.ctx).workload
        view = await drain(desk.ledger, workload.worker_id)
        assert (view.state, view.version, view.running) == ("draining", "2026-11-26.3", 1)
        assert view.memory_bytes is None or view.memory_bytes > 10_000_000

        async def drains() -> bool:
            return workload.drains

        await eventually(drains)
        gate.let_out()
        assert (await desk.ended(running))["state"] == "succeeded"
        await takes_nothing(desk, worker, rest)

        # Its lease is lost, and replaced under another id.
        before = workload.worker_id
        workload.lose_lease(before)

        async def is_anew() -> bool:
            return workload.worker_id != before and not workload.lease_lost

        await eventually(is_anew)
        assert (await read_worker(desk.ledger, workload.worker_id)).state == "draining"
        await takes_nothing(desk, worker, rest)
        async with running_worker(settings, catalogue_of(*OWN)):
            async with desk.ledger.read() as connection:
                waiting = await connection.exec_driver_sql("SELECT id FROM jobs WHERE finished_at IS NULL")
                ids = [row.id for row in waiting]
            for job_id in ids:
                assert (await desk.ended(job_id))["worker"] != workload.worker_id


async def test_worker_that_runs_nothing_seldom_looks(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, mine = 0, asyncio.current_task()

    async def counted(*args: Any) -> Any:
        nonlocal looks
        looks += asyncio.current_task() is mine
        return await wishes_of(*args)

    async with running_worker(settings, catalogue_of(*OWN)) as worker:
        await desk.ended(await desk.enqueue(rest))
        performer = performer_of(worker.ctx)

        async def idle() -> bool:
            return not performer.workload.running

        await eventually(idle)
        own = Wishes(performer)
        monkeypatch.setattr("service.worker.keeping.wishes.wishes_of", counted)
        for _ in range(8):
            await own.look()
        assert looks == 2
