"""A job that has crashed before runs in a process of its own."""

import os
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import RowMapping

import jobs
from service.ledger.states import isolated_from
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.ends_kinds import deaf, exit_in_a_child, leave
from tests.support.journey_kinds import held, poison
from tests.support.running import eventually, running_worker

# Each has a process of its own; which database it talks to decides little.
pytestmark = [pytest.mark.short("sqlite"), pytest.mark.usefixtures("forked_suspects")]
MODULE, ENDS = "tests.support.journey_kinds", "tests.support.ends_kinds"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE, ENDS)})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, deaf, held, poison, leave, exit_in_a_child) as opened:
        yield opened


async def _makes_progress(desk: Desk, job_id: str) -> RowMapping:
    async def check() -> RowMapping | None:
        row = await desk.row(job_id)
        return row if row["progress_done"] == 1 else None

    row = await eventually(check)
    assert row is not None
    return row


@pytest.mark.parametrize(("max_crashes", "crashes"), [(1, 1), (2, 1), (3, 2), (10, 9)])
def test_suspect_has_one_crash_left(max_crashes: int, crashes: int) -> None:
    assert isolated_from(max_crashes) == crashes


async def test_poison_takes_only_its_own_process_with_it_and_fails_with_the_reason(
    desk: Desk, settings: Settings
) -> None:
    suspect = await desk.record_suspect(poison)
    neighbour = await desk.enqueue(held, {"first_seconds": 3})
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        await _makes_progress(desk, neighbour)
        row = await desk.ended(suspect)
        assert (row["state"], row["crashes"], row["error_type"]) == ("failed", 3, "Crashed")
        assert "ended with exit code 9" in row["error_message"]
        assert (await desk.ended(neighbour))["state"] == "succeeded"
    assert await desk.outcomes(neighbour) == ["succeeded"]


async def test_innocent_suspect_succeeds_in_another_process(desk: Desk, settings: Settings) -> None:
    suspect = await desk.record_suspect(held)
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        row = await desk.ended(suspect)
    assert (row["state"], row["crashes"]) == ("succeeded", 2)
    assert int(row["result"]) != os.getpid()


async def test_suspects_run_one_at_a_time(desk: Desk, settings: Settings) -> None:
    first, second = [await desk.record_suspect(held, {"first_seconds": 1}) for _ in range(2)]
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        rows = [await desk.ended(suspect) for suspect in (first, second)]
    earlier, later = sorted(rows, key=lambda row: row["started_at"])
    assert earlier["finished_at"] <= later["started_at"]


async def test_cancelled_suspect_ends_cancelled(desk: Desk, settings: Settings) -> None:
    suspect = await desk.record_suspect(held, {"first_seconds": 600})
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        await _makes_progress(desk, suspect)
        await desk.lifecycle.cancel(suspect)
        assert (await desk.ended(suspect))["state"] == "cancelled"


async def test_cancelled_suspect_that_ignores_it_is_killed(desk: Desk, settings: Settings) -> None:
    suspect = await desk.record_suspect(deaf, {"seconds": 600})
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        await _makes_progress(desk, suspect)
        await desk.lifecycle.cancel(suspect)  # the wish is found again and again until the job has ended
        assert (await desk.ended(suspect))["state"] == "cancelled"


async def test_suspect_of_a_stopping_worker_is_handed_back_without_cost(desk: Desk, settings: Settings) -> None:
    suspect = await desk.record_suspect(held, {"first_seconds": 600})
    async with running_worker(settings.model_copy(update={"grace_s": 0.1}), jobs.load((MODULE, ENDS))):
        await _makes_progress(desk, suspect)
    row = await desk.row(suspect)
    assert (row["state"], row["crashes"], row["failures"]) == ("queued", 2, 0)
    assert await desk.outcomes(suspect) == ["interrupted"]


@pytest.mark.parametrize("how", ["thread", "task", "process"])
async def test_suspect_that_succeeds_counts_as_succeeded_whatever_it_leaves_behind(
    desk: Desk, settings: Settings, how: str
) -> None:
    suspect = await desk.record_suspect(leave, {"how": how})
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        row = await desk.ended(suspect)
    assert (row["state"], row["result"], row["crashes"]) == ("succeeded", '"done"', 2)


async def test_suspect_that_calls_sys_exit_fails_like_any_other_job(desk: Desk, settings: Settings) -> None:
    suspect = await desk.record_suspect(exit_in_a_child, {"by": "task"})
    async with running_worker(settings, jobs.load((MODULE, ENDS))):
        row = await desk.ended(suspect)
    assert (row["state"], row["error_type"], row["crashes"]) == ("failed", "KindExited", 2)
