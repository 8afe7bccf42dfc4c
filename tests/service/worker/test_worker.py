"""The worker as a whole: claiming, stopping, cancelling, and servers that go away."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any

import arq.worker
import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix
from pydantic import BaseModel
from redis.asyncio import Redis

from jobs import Context, job
from service.ledger.reads import jobs as queries
from service.queue import Queue, Room, key_of
from service.settings import Settings
from service.worker.claiming.waiting import Waiting
from service.worker.worker import Worker
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import RedisServer

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


class Args(BaseModel):
    seconds: float = 0


@job("rest", max_attempts=1)
async def rest(_ctx: Context, args: Args) -> None:
    await asyncio.sleep(args.seconds)


@job("stubborn", max_attempts=1)
async def stubborn(_ctx: Context, args: Args) -> str:
    try:
        await asyncio.sleep(args.seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
    return "done"


@job("elsewhere", queue="other")
async def elsewhere(_ctx: Context, _args: Args) -> None: ...


@job("newer")
async def newer(_ctx: Context, _args: Args) -> None: ...


KINDS = (rest, stubborn, elsewhere)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS, newer) as opened:
        yield opened


async def test_burst_ends_when_nothing_is_due_and_nothing_runs(desk: Desk, settings: Settings) -> None:
    done = [await desk.enqueue(rest) for _ in range(5)]
    undispatched = await desk.record_only(rest, created_at=datetime.now(UTC) - timedelta(seconds=10))
    later = await desk.enqueue(rest, delay=timedelta(hours=1))
    async with running_worker(settings, catalogue_of(*KINDS), burst=True) as worker:
        assert worker.main_task is None or not worker.main_task.done()
        for job_id in [*done, undispatched]:
            assert (await desk.ended(job_id))["state"] == "succeeded"

        async def over() -> bool:
            return worker.main_task is not None and worker.main_task.done()

        await eventually(over)
    assert (await desk.row(later))["state"] == "scheduled"


async def test_started_job_leaves_nothing_in_redis(desk: Desk, settings: Settings, redis: Redis) -> None:
    job_id = await desk.enqueue(rest, {"seconds": 0.5})
    async with running_worker(settings, catalogue_of(*KINDS)):
        await desk.running(job_id)

        async def gone() -> bool:
            keys = (job_key_prefix + job_id, in_progress_key_prefix + job_id)
            return not await redis.exists(*keys) and await redis.zscore(key_of("default"), job_id) is None

        await eventually(gone)
        assert (await desk.ended(job_id))["state"] == "succeeded"


async def test_all_queues_of_the_settings_are_worked(desk: Desk, settings: Settings) -> None:
    both = settings.model_copy(update={"queues": ("default", "other")})
    job_ids = [await desk.enqueue(rest), await desk.enqueue(elsewhere)]
    async with running_worker(both, catalogue_of(*KINDS)):
        assert [(await desk.ended(job_id))["state"] for job_id in job_ids] == ["succeeded", "succeeded"]


async def test_scheduled_job_runs_when_it_is_due_and_not_before(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(rest, delay=timedelta(seconds=1))
        row = await desk.ended(job_id)
    assert row["started_at"] >= row["run_at"] - timedelta(milliseconds=5)


async def test_kind_that_this_worker_does_not_know_stays_queued(desk: Desk, settings: Settings) -> None:
    job_id = await desk.enqueue(newer)
    async with running_worker(settings, catalogue_of(*KINDS)):
        await desk.ended(await desk.enqueue(rest))
        assert (await desk.row(job_id))["state"] == "queued"
    assert await desk.outcomes(job_id) == []


async def test_running_job_is_cancelled_within_moments(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(rest, {"seconds": 60})
        await desk.running(job_id)
        await desk.lifecycle.cancel(job_id)
        assert (await desk.ended(job_id))["state"] == "cancelled"
    assert await desk.outcomes(job_id) == ["cancelled"]


async def test_job_that_swallows_its_cancellation_is_cancelled_when_it_ends(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(stubborn, {"seconds": 60})
        await desk.running(job_id)
        await desk.lifecycle.cancel(job_id)
        row = await desk.ended(job_id)
    assert (row["state"], row["result"]) == ("cancelled", None)


async def test_stopping_worker_lets_running_jobs_finish(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(rest, {"seconds": 0.5})
        await desk.running(job_id)
    assert (await desk.row(job_id))["state"] == "succeeded"


async def test_job_past_the_grace_goes_back_without_cost(desk: Desk, settings: Settings) -> None:
    hasty = settings.model_copy(update={"grace_s": 0.1})
    async with running_worker(hasty, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(rest, {"seconds": 60})
        await desk.running(job_id)
    row = await desk.row(job_id)
    assert (row["state"], row["failures"], row["crashes"]) == ("queued", 0, 0)
    assert await desk.outcomes(job_id) == ["interrupted"]
    assert [one.member.decode() for one in (await desk.queue.claim(["default"], Room(10))).claimed] == [job_id]


async def test_second_signal_does_not_wait_for_the_grace(desk: Desk, settings: Settings) -> None:
    patient = settings.model_copy(update={"grace_s": 600})
    async with asyncio.timeout(20), running_worker(patient, catalogue_of(*KINDS)) as worker:
        job_id = await desk.enqueue(rest, {"seconds": 60})
        await desk.running(job_id)
        worker.handle_sig(Signals(signal.SIGTERM))
    assert (await desk.row(job_id))["state"] == "queued"


async def test_worker_ends_although_a_library_swallows_its_cancellation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()

    async def wait_and_swallow(*_: Any) -> None:
        waits.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(Waiting, "wait", wait_and_swallow)
    async with running_worker(settings, catalogue_of(rest)) as worker:
        await waits.wait()
        assert worker.main_task is not None
        worker.main_task.cancel()  # as a kind does that cancels all tasks there are
        await asyncio.wait({worker.main_task}, timeout=30)
        assert worker.main_task.cancelled()


@pytest.fixture
def own_redis(short_dir: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may stop."""
    server = RedisServer(short_dir / tmp_path.name[-12:])
    server.start()
    yield server
    server.stop()


@pytest.mark.usefixtures("swept_at_once")
async def test_worker_outlives_a_restart_of_redis(settings: Settings, own_redis: RedisServer) -> None:
    settings = settings.model_copy(update={"redis_url": own_redis.url})
    async with open_desk(settings, *KINDS) as desk, running_worker(settings, catalogue_of(*KINDS)):
        running = await desk.enqueue(rest, {"seconds": 1})
        await desk.running(running)
        own_redis.stop()
        accepted = await desk.enqueue(rest)
        assert (await desk.ended(running))["state"] == "succeeded"
        own_redis.start()
        assert (await desk.ended(accepted))["state"] == "succeeded"


@pytest.mark.usefixtures("swept_at_once")
async def test_wiped_queue_is_rebuilt_from_the_ledger(desk: Desk, settings: Settings, redis: Redis) -> None:
    job_ids = [await desk.enqueue(rest) for _ in range(20)]
    await redis.flushall()
    async with running_worker(settings, catalogue_of(*KINDS)):
        assert [(await desk.ended(job_id))["state"] for job_id in job_ids] == ["succeeded"] * 20


async def test_members_that_are_not_jobs_are_removed_and_the_rest_runs(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    await redis.zadd(key_of("default"), {b"\xff\xfe": 1, b"nobody": 2, b"nul\0": 3, b"x" * 300: 4})
    await redis.set(job_key_prefix + "nobody", b"not json")
    job_id = await desk.enqueue(rest)
    async with running_worker(settings, catalogue_of(*KINDS)):
        assert (await desk.ended(job_id))["state"] == "succeeded"

        async def empty() -> bool:
            return bool(await redis.zcard(key_of("default")) == 0)

        await eventually(empty)


async def test_entry_of_an_ended_job_is_removed(desk: Desk, settings: Settings, redis: Redis) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        job_id = await desk.enqueue(rest)
        await desk.ended(job_id)
        await redis.zadd(key_of("default"), {job_id: 1})

        async def gone() -> bool:
            return await redis.zscore(key_of("default"), job_id) is None

        await eventually(gone)
    assert await desk.outcomes(job_id) == ["succeeded"]


async def test_started_job_is_performed_even_if_redis_fails_right_after_its_start(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, failures = Queue.remove, iter([ConnectionError("gone"), TimeoutError("hangs"), ValueError("a bug")])

    async def fail_at_first(queue: Queue, name: str, members: Sequence[bytes]) -> None:
        for failure in failures:
            raise failure
        await remove(queue, name, members)

    monkeypatch.setattr(Queue, "remove", fail_at_first)
    async with running_worker(settings, catalogue_of(*KINDS)):
        for _ in range(4):
            assert (await desk.ended(await desk.enqueue(rest)))["state"] == "succeeded"


async def test_two_workers_share_a_queue_and_run_each_job_once(desk: Desk, settings: Settings) -> None:
    job_ids = [await desk.enqueue(rest) for _ in range(200)]
    catalogue = catalogue_of(*KINDS)
    async with running_worker(settings, catalogue), running_worker(settings, catalogue):
        for job_id in job_ids:
            await desk.ended(job_id)
    async with desk.ledger.read() as connection:
        attempts = await queries.get_attempts(connection, job_ids)
    assert {len(of_job) for of_job in attempts.values()} == {1}


async def test_plain_arq_functions_are_left_to_arq(redis: Redis, redis_server: RedisServer) -> None:
    ran = []

    async def plain(_ctx: object, number: int) -> int:
        ran.append(number)
        return number

    pool = await arq.create_pool(arq.connections.RedisSettings(unix_socket_path=str(redis_server.socket)))
    await pool.enqueue_job("plain", 7)
    plain_function = arq.worker.func(plain, name="plain")  # type: ignore[arg-type]  # arq types ctx narrowly
    worker = Worker(functions=[plain_function], redis_pool=pool, burst=True, handle_signals=False, poll_delay=0)
    await worker.main()
    await pool.aclose(close_connection_pool=True)
    assert ran == [7]
