"""An attempt in a child process: how it ends, whatever the kind does there, and that it takes nobody with it.

Most tests share one worker, at whose `desk` they enqueue: a worker and its child take a second to start. `worker` and
`own_desk` are a test's own.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import jobs
from jobs import Context
from service.feature import Feature
from service.features import FEATURES
from service.hooks import Hooks
from service.ledger.models import Started
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support import process_kinds as kinds
from tests.support.processing import gone, written
from tests.support.running import eventually, running_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = "tests.support.process_kinds"


@pytest.fixture(params=["sqlite"])
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    """What a child does is the same on each database."""
    shutil.copy(sqlite_template, tmp_path / "postlude.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "processes": 2, "grace_s": 0.2})


@pytest_asyncio.fixture(loop_scope="module")
async def own_desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *jobs.load((MODULE,)).values()) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def worker(settings: Settings) -> AsyncIterator[Any]:
    async with running_worker(settings, jobs.load((MODULE,))) as worker:
        yield worker


async def test_kind_runs_in_another_process_which_is_used_again(desk: Desk) -> None:
    first = await desk.ended(await desk.enqueue(kinds.tell_pid))
    second = await desk.ended(await desk.enqueue(kinds.tell_pid))
    assert first["state"] == second["state"] == "succeeded"
    assert first["result"] == second["result"] != str(os.getpid())


async def test_async_kind_has_progress_steps_checkpoints_logs_and_enqueues(
    own_desk: Desk, worker: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = await own_desk.enqueue(kinds.double, {"number": 21})
    row = await own_desk.ended(job_id)
    assert (row["state"], row["result"], row["progress_done"], row["progress_total"]) == ("succeeded", "42", 2, 2), row
    said = capfd.readouterr()
    assert "doubled 42" in said.out
    logged = [json.loads(line) for line in said.err.splitlines() if '"doubling"' in line]
    assert [(line["job_id"], line["kind"], line["attempt"]) for line in logged] == [(job_id, "process_double", 1)]


async def test_plain_kind_has_them_by_calls_that_return_when_it_is_done(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(kinds.count, {"number": 4}))
    assert row["state"] == "succeeded", row["error_message"]
    result = json.loads(row["result"])
    assert (result["refused"], result["restored"], row["progress_done"]) == ("KindUnknown", None, 1)
    assert (await desk.ended(result["child"]))["result"] == '"8"'


async def test_line_of_a_library_carries_the_attempts_names(
    own_desk: Desk, worker: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = await own_desk.enqueue(kinds.log)
    await own_desk.ended(job_id)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "said in a process" in line]
    assert [(line["job_id"], line["kind"], line["attempt"]) for line in lines] == [(job_id, "process_log", 1)]


@pytest.mark.parametrize(
    ("how", "state", "error_type", "says"),
    [
        ("error", "failed", "ValueError", "no good"),
        ("retry", "failed", "Retry", "later"),
        ("discard", "failed", "Discard", "never"),
        ("exit", "failed", "KindExited", "SystemExit: 3"),
        ("unpicklable", "failed", "_Odd", "odd"),
    ],
)
async def test_what_a_kind_raises_is_told_as_if_it_had_run_in_the_worker(
    desk: Desk, how: str, state: str, error_type: str, says: str
) -> None:
    job_id = await desk.enqueue(kinds.fail, {"how": how})
    row = await desk.ended(job_id)
    assert (row["state"], row["error_type"]) == (state, error_type)
    assert says in row["error_message"]
    [attempt] = await desk.attempts(job_id)
    assert "process_kinds.py" in attempt["traceback"]
    assert "asyncio" not in attempt["traceback"]


async def test_snooze_puts_the_job_off_without_cost(desk: Desk) -> None:
    job_id = await desk.enqueue(kinds.fail, {"how": "snooze"})

    async def snoozed() -> bool:
        return await desk.outcomes(job_id) == ["snoozed"]

    await eventually(snoozed)
    row = await desk.row(job_id)
    assert (row["state"], row["failures"]) == ("retrying", 0)
    assert row["run_at"] > datetime.now(UTC) + timedelta(minutes=50)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("exit", "it ended with exit code 7"),
        ("kill", "it was ended by SIGKILL"),
        ("segfault", "it was ended by SIGSEGV"),
        ("garbage", "sent nonsense"),
        ("pickle", "sent nonsense"),
        ("close", "died"),
    ],
)
async def test_child_that_dies_costs_its_attempt_and_nobody_elses(
    desk: Desk, neighbour: str, how: str, says: str
) -> None:
    row = await desk.ended(await desk.enqueue(kinds.die, {"how": how}))
    assert (row["state"], row["error_type"], row["failures"], row["crashes"]) == ("failed", "ProcessDied", 1, 0)
    assert says in row["error_message"]
    assert (await desk.ended(await desk.enqueue(kinds.echo, {"text": "next"})))["result"] == '"next"'
    assert (await desk.row(neighbour))["state"] == "running"


@pytest.mark.parametrize("how", ["asleep", "in C"])
async def test_timeout_kills_the_child_and_what_it_has_started(desk: Desk, tmp_path: Path, how: str) -> None:
    job_id = await desk.enqueue(kinds.hang, {"how": how, "path": str(tmp_path / "pids")}, timeout=timedelta(seconds=1))
    row = await desk.ended(job_id)
    assert (row["state"], row["error_type"], await desk.outcomes(job_id)) == ("failed", "TimedOut", ["timed_out"])
    await gone(*await written(tmp_path / "pids"))


async def test_timeout_ends_a_loop_that_ignores_its_cancellation(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    job_id = await desk.enqueue(
        kinds.hang_in_a_loop, {"how": "", "path": str(path)}, timeout=timedelta(seconds=1), max_attempts=1
    )
    assert (await desk.ended(job_id))["error_type"] == "TimedOut"
    await gone(*await written(path))


@pytest.mark.parametrize("how", ["asleep", "in C"])
async def test_cancel_kills_the_child_and_what_it_has_started(desk: Desk, tmp_path: Path, how: str) -> None:
    job_id = await desk.enqueue(kinds.hang, {"how": how, "path": str(tmp_path / "pids")})
    pids = await written(tmp_path / "pids")
    await desk.lifecycle.cancel(job_id)
    assert (await desk.ended(job_id))["state"] == "cancelled"
    await gone(*pids)


async def test_stopping_worker_leaves_no_child_and_hands_the_attempt_back_without_cost(
    own_desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    async with running_worker(settings, jobs.load((MODULE,))) as worker:
        job_id = await own_desk.enqueue(kinds.hang, {"how": "asleep", "path": str(tmp_path / "pids")})
        pids = await written(tmp_path / "pids")
        idle = worker.ctx["postlude"].processes.pids
    row = await own_desk.row(job_id)
    assert (row["state"], row["failures"], row["crashes"]) == ("queued", 0, 0)
    assert await own_desk.outcomes(job_id) == ["interrupted"]
    await gone(*pids, *idle)


async def test_lost_lease_kills_what_runs_for_others_run_it_by_now(own_desk: Desk, worker: Any, tmp_path: Path) -> None:
    job_id = await own_desk.enqueue(kinds.hang, {"how": "asleep", "path": str(tmp_path / "pids")}, max_attempts=1)
    pids = await written(tmp_path / "pids")
    workload = worker.ctx["postlude"].workload
    (tmp_path / "pids").unlink()
    assert workload.lose_lease(workload.worker_id)
    await gone(*pids)
    assert (await own_desk.row(job_id))["attempt"] >= 1


@pytest.mark.parametrize("how", ["fork", "thread", "process", "daemon"])
async def test_what_an_attempt_leaves_behind_does_not_undo_its_success(desk: Desk, how: str) -> None:
    job_id = await desk.enqueue(kinds.leave, {"how": how})
    row = await desk.ended(job_id)
    assert row["state"] == "succeeded"
    assert (await desk.ended(await desk.enqueue(kinds.tell_pid)))["result"] == row["result"]
    assert await desk.outcomes(job_id) == ["succeeded"]


async def test_thread_that_outlives_its_attempt_says_nothing_in_the_name_of_the_next(
    desk: Desk, tmp_path: Path
) -> None:
    path, may_end = tmp_path / "said", tmp_path / "may_end"
    late = await desk.ended(await desk.enqueue(kinds.speak_late, {"path": str(path)}))
    next_id = await desk.enqueue(kinds.wait_for, {"how": str(tmp_path / "pid"), "path": str(may_end)})
    assert await written(tmp_path / "pid") == [int(late["result"])]
    path.touch()

    async def refused() -> str:
        return path.read_text()

    assert await eventually(refused) == "AttemptOver"
    may_end.touch()
    assert (await desk.ended(next_id))["progress_done"] is None


async def test_kernel_would_rather_kill_a_child_than_its_worker(desk: Desk) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int((await desk.ended(await desk.enqueue(kinds.oom_score)))["result"]) > own


async def test_hooks_stand_around_the_attempt_in_the_worker(own_desk: Desk, settings: Settings) -> None:
    told: list[str] = []

    @asynccontextmanager
    async def hook(started: Started, _context: Context) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            told.append(f"{started.kind}: {error}")
            raise
        told.append(started.kind)

    feature = Feature("told", hooks=Hooks(attempts=(hook,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.worker.startup.FEATURES", (*FEATURES, feature))
        async with running_worker(settings, jobs.load((MODULE,))):
            await own_desk.ended(await own_desk.enqueue(kinds.tell_pid))
            row = await own_desk.ended(await own_desk.enqueue(kinds.fail, {"how": "error"}))
    assert (row["error_type"], row["error_message"]) == ("ValueError", "no good")
    assert told == ["process_pid", "process_raise: ValueError: no good"]


async def test_child_with_tasks_left_on_its_loop_is_replaced(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(kinds.leave_task))
    assert row["state"] == "succeeded"
    await gone(int(row["result"]))
    assert (await desk.ended(await desk.enqueue(kinds.tell_pid)))["result"] != row["result"]


@pytest.mark.parametrize(
    ("how", "state", "error_type"),
    [
        ("large", "succeeded", None),
        ("too large", "failed", "ResultTooLarge"),
        ("no JSON", "failed", "PydanticSerializationError"),
    ],
)
async def test_result_is_kept_or_refused_as_any_other(desk: Desk, how: str, state: str, error_type: str | None) -> None:
    row = await desk.ended(await desk.enqueue(kinds.give, {"how": how}))
    assert (row["state"], row["error_type"]) == (state, error_type)


async def test_args_may_be_as_large_as_elsewhere(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(kinds.echo, {"text": "x" * 250_000}))
    assert (row["state"], len(row["result"])) == ("succeeded", 250_002)


async def test_more_memory_than_the_kind_allows_is_an_error_that_says_so(own_desk: Desk, worker: Any) -> None:
    before = await own_desk.ended(await own_desk.enqueue(kinds.tell_pid))
    assert (await own_desk.ended(await own_desk.enqueue(kinds.use_memory, {"number": 150})))["result"] == "150"
    row = await own_desk.ended(await own_desk.enqueue(kinds.use_memory, {"number": 250}))
    assert (row["state"], row["error_type"]) == ("failed", "MemoryExceeded")
    assert "200 MB of memory_mb" in row["error_message"]
    assert (await own_desk.ended(await own_desk.enqueue(kinds.use_memory, {"number": 150})))["result"] == "150"
    assert (await own_desk.ended(await own_desk.enqueue(kinds.tell_pid)))["result"] != before["result"]


async def test_child_that_leaks_is_replaced(own_desk: Desk, worker: Any) -> None:
    pids = [(await own_desk.ended(await own_desk.enqueue(kinds.leak, {"number": 100})))["result"] for _ in range(5)]
    assert len(set(pids)) == 2


async def test_what_only_the_worker_has_is_refused_with_what_to_do(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(kinds.use_http))
    assert (row["state"], row["error_type"]) == ("failed", "FeatureMissing")
    assert 'ctx.http is not there in a kind with runs="process"' in row["error_message"]


@pytest.mark.usefixtures("forked_suspects")
async def test_suspect_of_such_a_kind_runs_isolated(own_desk: Desk, worker: Any) -> None:
    row = await own_desk.ended(await own_desk.record_suspect(kinds.count, {"number": 3}))
    assert row["state"] == "succeeded", row["error_message"]


async def test_isolated_suspect_has_its_limit_of_memory(own_desk: Desk, worker: Any) -> None:
    row = await own_desk.ended(await own_desk.record_suspect(kinds.use_memory, {"number": 250}))
    assert row["error_type"] == "MemoryExceeded"


async def test_tick_runs_in_a_process(own_desk: Desk, settings: Settings) -> None:
    modules = ("tests.support.process_ticks",)

    async def succeeded() -> str | None:
        async with own_desk.ledger.read() as connection:
            found = await connection.exec_driver_sql(
                "SELECT result FROM jobs WHERE kind = 'process_cron' AND state = 'succeeded' LIMIT 1"
            )
            row = found.first()
        return None if row is None else str(row[0])

    async with running_worker(settings.model_copy(update={"jobs": modules}), jobs.load(modules)):
        assert await eventually(succeeded) != str(os.getpid())


async def test_full_pool_holds_up_no_other_kind_and_takes_no_attempts_it_has_no_child_for(
    own_desk: Desk, worker: Any, tmp_path: Path
) -> None:
    paths = [tmp_path / str(number) for number in range(2)]
    busy = [await own_desk.enqueue(kinds.hang, {"how": "asleep", "path": str(path)}) for path in paths]
    for path in paths:
        await written(path)
    waiting = [await own_desk.enqueue(kinds.echo, {"text": str(number)}) for number in range(20)]
    others = [await own_desk.enqueue(kinds.neighbour) for _ in range(20)]
    rows = await asyncio.gather(*(own_desk.ended(job_id) for job_id in others))
    assert {row["state"] for row in rows} == {"succeeded"}
    assert {(await own_desk.row(job_id))["attempt"] for job_id in waiting} == {0}
    await own_desk.lifecycle.cancel(busy[0])
    rows = await asyncio.gather(*(own_desk.ended(job_id) for job_id in waiting))
    assert [row["result"] for row in rows] == [f'"{number}"' for number in range(20)]
    assert {tuple(await own_desk.outcomes(job_id)) for job_id in waiting} == {("succeeded",)}


async def test_burst_goes_through_all_children_one_attempt_each(own_desk: Desk, worker: Any) -> None:
    ids = [await own_desk.enqueue(kinds.tell_pid) for _ in range(60)]
    rows = await asyncio.gather(*(own_desk.ended(job_id) for job_id in ids))
    assert {(row["state"], row["attempt"]) for row in rows} == {("succeeded", 1)}
    assert len({row["result"] for row in rows}) <= 2
