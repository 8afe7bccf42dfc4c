"""arq's own worker class refuses to run past lanes, and gets the jobs that only their kinds put in lanes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from jobs import Context, job
from service.errors import StartRefused
from service.ledger.clock import now_by
from service.ledger.records.lanes import record_rule
from service.settings import Settings
from service.worker import stock
from service.worker.keeping.lanes import LaneKeeping
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Args(BaseModel): ...


@job("plain")
async def plain(_ctx: Context, _args: Args) -> None: ...


@job("visit", lane=lambda _args: "host:a")
async def visit(_ctx: Context, _args: Args) -> None: ...


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, plain, visit) as opened:
        yield opened


async def test_it_refuses_to_start_while_a_job_names_a_lane(desk: Desk) -> None:
    job_id = await desk.enqueue(plain, lane="tenant:1")
    with pytest.raises(StartRefused, match="postlude lanes list"):
        await stock.begin(desk.resources)
    assert not await desk.queue.stock_worker_runs()
    await desk.lifecycle.cancel(job_id)
    await stock.begin(desk.resources)
    assert await desk.queue.stock_worker_runs()


async def test_it_refuses_to_start_while_anything_is_said_of_lanes(desk: Desk) -> None:
    await desk.ledger.database.run(
        lambda connection: record_rule(connection, "kind:plain", {"paused": True}, now_by(connection))
    )
    with pytest.raises(StartRefused, match="knows neither lanes nor pauses"):
        await stock.begin(desk.resources)


async def test_jobs_that_only_their_kind_puts_in_a_lane_go_to_its_queue_and_back_to_lanes_after_it(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    await desk.queue.mark_stock_worker()
    job_id = await desk.enqueue(visit)
    assert await redis.zscore("arq:queue", job_id) is not None
    await redis.delete("postlude:stock-worker")
    async with running_worker(settings, catalogue_of(plain, visit)):
        assert (await desk.ended(job_id))["state"] == "succeeded"


async def test_job_that_waits_in_a_lane_is_found_missing_on_its_queue(desk: Desk, redis: Redis) -> None:
    await LaneKeeping(desk.ledger, desk.queue).build()
    before = datetime.now(UTC) - timedelta(seconds=15)
    job_id = await desk.record_only(visit, kind_lane="host:a", created_at=before, run_at=before)
    await desk.redispatch()
    assert await redis.zscore("arq:queue", job_id) is None
    await desk.queue.mark_stock_worker()
    await desk.sweep_as().sweep()
    await desk.sweep_as().sweep()
    assert await redis.zscore("arq:queue", job_id) is not None
