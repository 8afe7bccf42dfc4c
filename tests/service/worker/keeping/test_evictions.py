"""Single ids that have gone from Redis."""

import pytest
from redis.asyncio import Redis

from service.ledger.models import Start
from service.ledger.reads import dispatching
from service.ledger.records.workers import record_registered
from service.worker.keeping import evictions
from service.worker.keeping.evictions import Evictions
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import ago, forgotten, on_queue
from tests.support.writing import writing


async def test_single_ids_that_are_gone_are_put_again(desk: Desk, redis: Redis) -> None:
    job_ids = [await forgotten(desk) for _ in range(4)]
    sweeping = desk.sweep_as()
    await sweeping.sweep()
    await redis.zrem("arq:queue", *job_ids[:2])
    await sweeping.sweep()
    assert await on_queue(redis) == set(job_ids)


async def test_the_cursor_comes_to_every_job_and_begins_again(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "_PAGE", 2)
    same = ago(15)
    job_ids = {await forgotten(desk, run_at=same) for _ in range(5)}
    await desk.redispatch()
    cursor, epoch = Evictions(desk.ledger, desk.queue), await desk.queue.epoch()
    for _ in range(2):
        await redis.delete("arq:queue")
        found = []
        for _ in range(3):
            await cursor.mend(epoch)
            found.append(len(await on_queue(redis)))
        assert found == [2, 4, 5]
        assert await on_queue(redis) == job_ids


async def test_a_job_that_has_started_meanwhile_is_no_eviction(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk)
    await desk.redispatch()
    epoch = await desk.queue.epoch()
    async with desk.ledger.read() as connection:
        rows = await dispatching.dispatched(connection, epoch, evictions._START, 10)
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_registered, ago(0), id="w", hostname="here", pid=1, queues="default")
    assert await desk.ledger.start(Start((job_id,), "w", ("rest",), ago(0)))
    await redis.delete("arq:queue")
    assert await Evictions(desk.ledger, desk.queue)._gone(rows) == []
