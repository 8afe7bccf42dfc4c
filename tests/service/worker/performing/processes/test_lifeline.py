"""Children end with their worker, however that ends, and not by the signals that only tell it to stop."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from signal import Signals

import pytest

import jobs
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support import process_kinds as kinds
from tests.support.processing import gone, lives, written
from tests.support.rescuing import let_it_rescue, let_the_rescue_be_now
from tests.support.running import eventually, running_worker
from tests.support.worker_process import registered, worker_process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODULE = "tests.support.process_kinds"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    update = {"jobs": (MODULE,), "processes": 2, "grace_s": 1, "log_level": "INFO"}
    return Settings(**settings.model_copy(update=update).model_dump(exclude_unset=True))


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *jobs.load((MODULE,)).values()) as opened:
        yield opened


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.parametrize("how", ["asleep", "in C"])
async def test_killed_worker_leaves_no_child_and_nothing_that_a_child_has_started(
    desk: Desk, settings: Settings, tmp_path: Path, how: str
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        await desk.enqueue(kinds.hang, {"how": how, "path": str(tmp_path / "pids")})
        pids = await written(tmp_path / "pids")
        children = children_of(worker.pid)
        assert pids[0] in children
        worker.send(Signals.SIGKILL)
        await gone(*children, *pids)


@pytest.mark.parametrize("signum", [Signals.SIGTERM, Signals.SIGINT])
async def test_worker_that_is_told_to_stop_leaves_no_child_and_no_cost(
    desk: Desk, settings: Settings, tmp_path: Path, signum: Signals
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        job_id = await desk.enqueue(kinds.hang, {"how": "asleep", "path": str(tmp_path / "pids")})
        pids = await written(tmp_path / "pids")
        children = children_of(worker.pid)
        worker.send(signum)
        assert await worker.ended(30) == 0
        assert not any(lives(pid) for pid in (*children, *pids))
    row = await desk.row(job_id)
    assert (row["state"], row["failures"], row["crashes"]) == ("queued", 0, 0)
    assert await desk.outcomes(job_id) == ["interrupted"]


async def test_whoever_stops_all_processes_of_a_worker_cuts_no_attempt_short(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    patient = settings.model_copy(update={"grace_s": 20})
    path = tmp_path / "may_end"
    async with running_worker(patient, jobs.load((MODULE,))):
        job_id = await desk.enqueue(kinds.wait_for, {"how": str(tmp_path / "pid"), "path": str(path)})
        [pid] = await written(tmp_path / "pid")
        for signum in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, signum)
        path.touch()
        assert (await desk.ended(job_id))["state"] == "succeeded"
    assert await desk.outcomes(job_id) == ["succeeded"]


async def test_signals_end_what_a_kind_has_forked(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, jobs.load((MODULE,))):
        row = await desk.ended(await desk.enqueue(kinds.stop_copies))
    assert row["result"] == f"[{-signal.SIGTERM}]"


async def test_rescue_counts_no_crash_for_what_ran_in_a_process_of_its_own(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        job_id = await desk.enqueue(kinds.hang, {"how": "asleep", "path": str(tmp_path / "pids")})
        await written(tmp_path / "pids")
        await worker.kill()
    await let_the_rescue_be_now(desk.ledger)
    async with running_worker(settings, jobs.load((MODULE,))):
        await let_it_rescue(desk.ledger)

        async def rescued() -> bool:
            return await desk.outcomes(job_id) != [None]

        await eventually(rescued, 60)
        await desk.lifecycle.cancel(job_id)
    assert (await desk.outcomes(job_id))[0] == "interrupted"
    assert (await desk.row(job_id))["crashes"] == 0
