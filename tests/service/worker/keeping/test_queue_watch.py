"""What the sweep does while Redis is away, or refuses."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import forgotten, on_queue


@pytest.mark.parametrize("fault", ["full", "read-only"])
async def test_ids_that_redis_refuses_are_not_noted_as_dispatched_and_are_put_later(
    desk: Desk, redis: Redis, fault: str
) -> None:
    sweeping = desk.sweep_as()
    await sweeping.sweep()
    job_id = await forgotten(desk)
    try:
        if fault == "full":
            await redis.config_set("maxmemory", 1)
        else:
            await redis.replicaof("127.0.0.1", "1")
        assert not await sweeping.sweep()
        assert (await desk.row(job_id))["dispatch_epoch"] == ""
        with pytest.raises(RedisError):
            await desk.redispatch()
    finally:
        await redis.config_set("maxmemory", 0)
        await redis.replicaof("NO", "ONE")
    await sweeping.sweep()
    assert await on_queue(redis) == {job_id}


async def test_the_ledgers_part_goes_on_while_redis_is_away(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk, state="scheduled")
    try:
        await redis.replicaof("127.0.0.1", "1")
        await desk.sweep_as("w").sweep()
    finally:
        await redis.replicaof("NO", "ONE")
    assert (await desk.row(job_id))["state"] == "queued"
