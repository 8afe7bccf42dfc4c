"""The pool of child processes: bounded, filled again, and honest where it cannot be."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals

import pytest

import jobs
from service.settings import Settings
from service.worker.performing.processes.child import Child
from service.worker.performing.processes.pool import AllBusy, NoProcess, ProcessPool
from tests.service.worker.desk import Desk, open_desk
from tests.support import process_kinds as kinds
from tests.support.processing import gone, written
from tests.support.running import eventually, running_worker
from tests.support.worker_process import registered, worker_process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODULE = "tests.support.process_kinds"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "processes": 2, "grace_s": 0.2})


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[ProcessPool]:
    async with ProcessPool(settings) as pool:
        yield pool


async def test_children_come_when_they_are_needed(pool: ProcessPool) -> None:
    await asyncio.sleep(0)
    assert pool.pids == set()
    first, second = await pool.take(), await pool.take()
    assert first.pid != second.pid
    assert pool.pids == {first.pid, second.pid}


async def test_a_child_is_started_for_who_asks_as_the_last_one_comes(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.worker.performing.processes.pool._PATIENCE_S", 0)
    first, second = await pool.take(), await pool.take()
    assert pool.pids == {first.pid, second.pid}


async def test_there_are_never_more_children_than_the_setting_says(pool: ProcessPool) -> None:
    first, _second = await pool.take(), await pool.take()
    with pytest.raises(AllBusy):
        await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.give_back(first)
    assert await waiting is first
    assert len(pool.pids) == 2


async def test_wait_that_is_cancelled_takes_no_child_with_it(pool: ProcessPool) -> None:
    first, second = await pool.take(), await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.give_back(first)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.take() is first
    pool.give_back(second)
    assert await pool.take() is second


async def test_child_that_dies_while_it_is_idle_is_replaced(pool: ProcessPool) -> None:
    child = await pool.take()
    pool.give_back(child)
    os.kill(child.pid, signal.SIGKILL)

    async def replaced() -> bool:
        return bool(pool.pids) and child.pid not in pool.pids

    await eventually(replaced)
    assert (await pool.take()).pid in pool.pids


async def test_child_that_died_idle_costs_no_attempt(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, jobs.load((MODULE,))) as worker:
        first = await desk.ended(await desk.enqueue(kinds.tell_pid))
        pool = worker.ctx["postlude"].processes
        os.kill(int(first["result"]), signal.SIGSTOP)  # it takes nothing that it is handed
        os.kill(int(first["result"]), signal.SIGKILL)
        job_id = await desk.enqueue(kinds.tell_pid)
        row = await desk.ended(job_id)
        assert row["result"] != first["result"]
        assert await desk.outcomes(job_id) == ["succeeded"]
        assert int(row["result"]) in pool.pids


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *jobs.load((MODULE,)).values()) as opened:
        yield opened


async def test_end_of_the_pool_leaves_no_child_busy_or_not(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.performing.processes.child._ENDS_WITHIN_S", 30.0)
    async with ProcessPool(settings) as pool:
        busy, idle = await pool.take(), await pool.take()
        pool.give_back(idle)
    assert {busy.died.done(), idle.died.done()} == {True}
    assert idle.died.result() == 0  # it ended in order
    assert busy.died.result() == -signal.SIGKILL


async def test_end_of_the_pool_ends_children_that_are_just_starting(settings: Settings) -> None:
    async with ProcessPool(settings) as pool:
        taking = [asyncio.create_task(pool.take()) for _ in range(2)]
        await asyncio.sleep(0.05)
    assert not [one for one in taking if one.done() and not one.cancelled() and one.exception() is None]
    for one in taking:
        one.cancel()


async def test_arqs_own_class_has_attempts_wait_for_a_child_in_their_slots(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    stock = settings.model_copy(update={"stock_worker": True, "processes": 1, "log_level": "INFO"})
    async with worker_process(stock, tmp_path) as worker:
        await registered(worker)
        first = await desk.enqueue(
            kinds.wait_for,
            {"how": str(tmp_path / "pid"), "path": str(tmp_path / "may_end")},
            timeout=timedelta(seconds=30),
        )
        [pid] = await written(tmp_path / "pid")
        waiting = [await desk.enqueue(kinds.tell_pid, timeout=timedelta(seconds=0.9)) for _ in range(3)]
        others = [await desk.enqueue(kinds.neighbour) for _ in range(3)]
        await asyncio.gather(*(desk.ended(job_id) for job_id in others))
        started = max([row["started_at"] for row in await asyncio.gather(*map(desk.running, waiting))])

        async def is_past_their_timeout() -> bool:
            return bool(datetime.now(UTC) - started > timedelta(seconds=1))

        await eventually(is_past_their_timeout)  # which counts from when a child has them
        (tmp_path / "may_end").touch()
        rows = await asyncio.gather(*(desk.ended(job_id) for job_id in (first, *waiting)))
        assert {row["state"] for row in rows} == {"succeeded"}
        assert {row["result"] for row in rows} == {"null", str(pid)}
        worker.send(Signals.SIGTERM)
        await worker.ended(30)
        await gone(pid)


@pytest.fixture
def broken(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A module of kinds that this process could load, and no child can."""
    (tmp_path / "kinds_here_alone.py").write_text(
        "import os\n"
        f"if os.getpid() != {os.getpid()}:\n"
        "    raise ImportError('only there')\n"
        "from tests.support.process_kinds import *\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return settings.model_copy(update={"jobs": ("kinds_here_alone",)})


async def test_attempt_fails_with_the_reason_where_no_child_can_start(desk: Desk, broken: Settings) -> None:
    async with running_worker(broken, jobs.load(broken.jobs)):
        row = await desk.ended(await desk.enqueue(kinds.tell_pid, max_attempts=1))
        assert (row["state"], row["error_type"]) == ("failed", "NoProcess")
        assert "kinds_here_alone" in row["error_message"]
        assert "only there" in row["error_message"]
        assert (await desk.ended(await desk.enqueue(kinds.neighbour)))["state"] == "succeeded"


async def test_starts_that_fail_are_told_and_tried_again_ever_more_seldom(
    broken: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starts: list[float] = []
    begin = Child.start

    async def counted(*args: object) -> Child:
        starts.append(asyncio.get_running_loop().time())
        return await begin(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Child, "start", counted)
    async with ProcessPool(broken) as pool:
        for _ in range(4):
            with pytest.raises(NoProcess, match="only there"):
                await pool.take()
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert len(starts) <= 5
    assert waits[-1] > 0.4
    assert "process_not_started" in capsys.readouterr().out


async def test_pool_is_whole_again_once_children_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "mended"
    (tmp_path / "kinds_that_heal.py").write_text(
        "import os, pathlib\n"
        f"if os.getpid() != {os.getpid()} and not pathlib.Path({str(flag)!r}).exists():\n"
        "    raise SystemExit(5)\n"
        "from tests.support.process_kinds import *\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    healing = settings.model_copy(update={"jobs": ("kinds_that_heal",)})
    async with ProcessPool(healing) as pool:
        with pytest.raises(NoProcess):
            await pool.take()
        flag.touch()
        child = await pool.take()
        assert child.pid in pool.pids
    await gone(child.pid)
