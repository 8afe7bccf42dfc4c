"""A worker closes what it opens: files, threads and tasks, over many starts and stops."""

import asyncio
import gc
import os
import threading
from pathlib import Path

import pytest

import jobs
from service.settings import Settings
from tests.faults.form import Figures
from tests.faults.kinds import EFFECTS
from tests.service.worker.desk import open_desk
from tests.support.running import running_worker

_ROUNDS_BEFORE = 3


@pytest.mark.short("postgres")
async def test_starting_and_stopping_a_worker_leaves_nothing_open(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool, figures: Figures
) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted by /proc")
    monkeypatch.setenv(EFFECTS, str(tmp_path / "effects"))
    catalogue = jobs.load(("tests.faults.kinds",))
    async with open_desk(settings, *catalogue.values()) as desk:

        async def start_work_and_stop() -> None:
            job_id = await desk.enqueue(catalogue["fault_work"])
            async with running_worker(settings, catalogue):
                await desk.ended(job_id)

        for _ in range(_ROUNDS_BEFORE):
            await start_work_and_stop()
        before = _open()
        rounds = 1000 if whole else 15
        for _ in range(rounds):
            await start_work_and_stop()
        after = _open()
    grown = {name: after[name] - before[name] for name in before}
    figures(f"{rounds} starts and stops of a worker", **grown)
    # A task or a connection may be just about to end; a leak grows with every round.
    assert max(grown.values()) < rounds / 3, grown


def _open() -> dict[str, int]:
    gc.collect()
    return {
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
    }
