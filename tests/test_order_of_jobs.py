"""A strict order that only a job brings holds for later jobs of its lane, wherever that job waits."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from jobs import Lane
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.lane_kinds import flaky, gauge, plain, visit
from tests.test_lanes import ended, say, working

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("fresh_gauge"),
]

STRICT = Lane("account:1", order="strict")


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, visit, plain, flaky) as opened:
        yield opened


async def _until_looked_at(desk: Desk, **options: Any) -> None:
    """Wait until workers have claimed whatever they may: lanes take turns, so the second of two jobs comes last."""
    for _ in range(2):
        await desk.ended(await desk.enqueue(plain, {"name": "look"}, lane="looks", **options))
    gauge.begun[:] = [name for name in gauge.begun if name != "look"]


@pytest.mark.parametrize(
    ("kind", "held_by"),
    [(visit, "kind:visit"), (visit, "host:a"), (plain, "queue:default")],
)
async def test_order_holds_while_a_pause_holds_back_the_job_that_brings_it(
    desk: Desk, settings: Settings, kind: Any, held_by: str
) -> None:
    await say(desk, held_by, paused=True)
    async with working(settings, workers=2, queues=["default", "other"]):
        first = await desk.enqueue(kind, {"name": "first"}, lane=STRICT)
        await _until_looked_at(desk, queue="other")
        second = await desk.enqueue(plain, {"name": "second"}, lane="account:1", queue="other")
        await _until_looked_at(desk, queue="other")
        await say(desk, held_by, paused=False)
        assert await ended(desk, [first, second]) == ["succeeded", "succeeded"]
    assert gauge.begun == ["first", "second"]


async def test_order_holds_while_the_job_that_brings_it_waits_for_its_time(desk: Desk, settings: Settings) -> None:
    first = await desk.enqueue(plain, {"name": "first"}, lane=STRICT, delay=timedelta(hours=1))
    async with working(settings):
        second = await desk.enqueue(plain, {"name": "second"}, lane="account:1")
        await _until_looked_at(desk)
        assert (await desk.row(second))["state"] == "queued"
        await desk.lifecycle.cancel(first)
        assert await ended(desk, [second]) == ["succeeded"]


async def test_order_holds_when_redis_has_lost_that_a_waiting_job_brought_it(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    first = await desk.enqueue(plain, {"name": "first"}, lane=STRICT, delay=timedelta(hours=1))
    async with working(settings):
        await _until_looked_at(desk)
        await redis.flushall()
        second = await desk.enqueue(plain, {"name": "second"}, lane="account:1")
        await _until_looked_at(desk)
        assert (await desk.row(second))["state"] == "queued"
        await desk.lifecycle.cancel(first)
        assert await ended(desk, [second]) == ["succeeded"]
