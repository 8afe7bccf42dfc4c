"""What jobs have kept outlives the worker that ran them: killed, told to stop, or dead over the very job."""

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from sqlalchemy import update

import jobs
from service.ledger.reads.kept import kept_by
from service.settings import Settings
from service.tables import workers
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import eventually, running_worker
from tests.support.step_kinds import counts, fails_once, three_steps, waits_in_step
from tests.support.worker_process import registered, worker_process
from tests.support.writing import writing

MODULE = "tests.support.step_kinds"
KINDS = jobs.load((MODULE,))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "grace_s": 1.0, "log_level": "INFO"})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS.values()) as opened:
        yield opened


class Story:
    """A job with a diary of its own."""

    def __init__(self, folder: Path, name: str, **args: Any) -> None:
        self._diary = folder / name
        self._diary.touch()
        self.args = {"diary": str(self._diary), **args}

    @property
    def lines(self) -> list[str]:
        return self._diary.read_text().splitlines()

    async def says(self, line: str) -> None:
        async def check() -> bool:
            return line in self.lines

        await eventually(check, 60)


async def checkpoint_of(desk: Desk, job_id: str) -> int:
    async with desk.ledger.read() as connection:
        value = (await kept_by(connection, [job_id]))[job_id][1]
    return 0 if value is None else int(value)


async def has_counted(desk: Desk, job_id: str, most: int) -> None:
    async def check() -> bool:
        return await checkpoint_of(desk, job_id) >= most

    await eventually(check, 60)


@pytest.mark.short("sqlite")
async def test_steps_and_checkpoints_outlive_a_worker_that_is_killed_between_and_within_them(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    between, within = Story(tmp_path, "between", gate=str(gate)), Story(tmp_path, "within", gate=str(gate))
    loop = Story(tmp_path, "loop", count=2_000, gate=str(gate))
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        ids = [
            await desk.enqueue(three_steps, between.args),
            await desk.enqueue(waits_in_step, within.args),
            await desk.enqueue(counts, loop.args),
        ]
        await between.says("between 1")
        await within.says("in the step")
        await has_counted(desk, ids[2], 300)
        await worker.kill()
    reached = await checkpoint_of(desk, ids[2])
    assert 300 <= reached < 2_000
    gate.touch()
    async with running_worker(settings, KINDS):
        await _silence_the_dead(desk)
        await has_counted(desk, ids[2], 2_000)
        rows = [await desk.ended(job_id) for job_id in ids]
    assert [(row["state"], row["crashes"], row["attempt"]) for row in rows] == [("succeeded", 1, 2)] * 3
    assert between.lines == ["first", "between 1", "between 2", "second", "third"]
    assert within.lines == ["before", "in the step", "in the step"]
    assert loop.lines == ["from 1", f"from {reached + 1}"]
    assert json.loads(rows[0]["result"]) == ["did first", "did second", "did third"]


async def _silence_the_dead(desk: Desk) -> None:
    """Let the killed worker have been silent for long, and the living one have been there all the time."""
    long_ago = datetime.now(UTC) - timedelta(minutes=2)

    async def check() -> bool:
        async with writing(desk.ledger.database) as connection:
            since = workers.c.started_at.asc()
            ids = (await connection.execute(workers.select().order_by(since))).scalars().all()
            await connection.execute(update(workers).where(workers.c.id == ids[0]).values(heartbeat_at=long_ago))
            await connection.execute(update(workers).where(workers.c.id == ids[-1]).values(beating_since=long_ago))
        return len(ids) == 2

    await eventually(check)


@pytest.mark.short("sqlite")
async def test_steps_outlive_a_deploy_which_costs_nothing(desk: Desk, settings: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    between, loop = Story(tmp_path, "between", gate=str(gate)), Story(tmp_path, "loop", count=300, gate=str(gate))
    async with worker_process(settings, tmp_path) as worker:
        await registered(worker)
        ids = [await desk.enqueue(three_steps, between.args), await desk.enqueue(counts, loop.args)]
        await between.says("between 1")
        await has_counted(desk, ids[1], 100)
        worker.send(Signals.SIGTERM)
        assert await worker.ended(30) == 0
    reached = await checkpoint_of(desk, ids[1])
    gate.touch()
    async with running_worker(settings, KINDS):
        rows = [await desk.ended(job_id) for job_id in ids]
    assert [(row["state"], row["crashes"], row["failures"]) for row in rows] == [("succeeded", 0, 0)] * 2
    assert between.lines == ["first", "between 1", "between 2", "second", "third"]
    assert loop.lines == ["from 1", f"from {reached + 1}"]


@pytest.mark.usefixtures("forked_suspects")
async def test_an_isolated_attempt_has_what_was_kept_and_keeps_what_it_does(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    story = Story(tmp_path, "story")
    job_id = await desk.record_suspect(fails_once, story.args)
    async with running_worker(settings, KINDS):
        row = await desk.ended(job_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("succeeded", 2, 2)
    assert int(row["result"]) != os.getpid()
    assert story.lines == ["first", "attempt 1 restored None", "attempt 2 restored 1", "last"]
    async with desk.ledger.read() as connection:
        steps, value = (await kept_by(connection, [job_id]))[job_id]
    assert ([(step["name"], step["attempt"]) for step in steps], value) == ([("first", 1), ("last", 2)], "2")
