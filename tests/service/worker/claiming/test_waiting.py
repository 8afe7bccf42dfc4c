"""An idle worker hears of a put at once, finds what wakes nobody, and keeps Redis quiet."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from service.queue import Entry, Left, Queue, Room, key_of, low_key_of, open_redis
from service.worker.claiming import waiting as waiting_module
from service.worker.claiming.waiting import Waiting
from tests.support.running import eventually
from tests.support.servers import RedisServer


@pytest.fixture
def queue(redis: Redis, redis_server: RedisServer) -> Queue:
    return Queue(open_redis(redis_server.url))


def _entry(job_id: str, due_in_s: float = 0.0) -> Entry:
    return Entry(job_id, "greet", "default", datetime.now(UTC) + timedelta(seconds=due_in_s))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def _no_room(_left: Left) -> None:
    await asyncio.Event().wait()


async def _waits(queue: Queue, stopping: asyncio.Event | None = None, *, others: int = 0) -> asyncio.Task[None]:
    """Begin to wait, as one of this many, and return once a put would wake it."""
    waiting = asyncio.create_task(Waiting(queue, ["default"]).wait(stopping or asyncio.Event(), _no_room))
    await _blocked(queue, others + 1)
    return waiting


async def _blocked(queue: Queue, clients: int) -> None:
    """Wait until this many clients wait for Redis to wake them."""

    async def blocked() -> bool:
        return bool((await queue.redis.info("clients"))["blocked_clients"] == clients)

    await eventually(blocked)


async def test_a_put_wakes_one_waiting_worker(queue: Queue) -> None:
    waiting = [await _waits(queue, others=number) for number in range(3)]
    await queue.put([_entry("a")])
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    assert (len(done), len(others)) == (1, 2)
    for one in others:
        one.cancel()


async def test_a_claim_that_leaves_something_behind_wakes_the_next_worker(queue: Queue) -> None:
    await queue.put([_entry(f"{number}") for number in range(5)])
    assert await queue.woken(["default"], 1)
    waiting = await _waits_for_token(queue)
    assert len((await queue.claim(["default"], Room(2))).claimed) == 2
    assert await asyncio.wait_for(waiting, 5)


async def _waits_for_token(queue: Queue) -> asyncio.Task[bool]:
    waiting = asyncio.create_task(queue.woken(["default"], 5))
    await _blocked(queue, 1)
    return waiting


async def test_a_job_due_later_wakes_a_worker_when_it_is_due(queue: Queue) -> None:
    due = _entry("later", due_in_s=0.7)
    await queue.put([due])
    waiting = Waiting(queue, ["default"])
    await waiting.wait(asyncio.Event(), _no_room)  # for the put itself
    await waiting.wait(asyncio.Event(), _no_room)
    assert datetime.now(UTC) >= due.due_at - timedelta(milliseconds=5)


async def test_an_arq_clients_job_is_found_though_it_wakes_nobody(queue: Queue, redis: Redis) -> None:
    waiting = await _waits(queue)
    await redis.zadd(key_of("default"), {"foreign": _ms(datetime.now(UTC))})
    await asyncio.wait_for(waiting, 10)


async def test_an_id_out_of_order_is_found_though_its_signal_was_lost(queue: Queue, redis: Redis) -> None:
    waiting = await _waits(queue)
    await redis.zadd(low_key_of("default"), {"low": _ms(datetime.now(UTC) + timedelta(hours=1))})
    await asyncio.wait_for(waiting, 15)


async def test_waiting_ends_when_told_to_stop(queue: Queue) -> None:
    stopping = asyncio.Event()
    waiting = await _waits(queue, stopping)
    stopping.set()
    await asyncio.wait_for(waiting, 20)


async def test_waiting_asks_redis_for_less_than_two_commands_a_second(
    queue: Queue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_as_fast = 10
    monkeypatch.setattr(waiting_module, "_LOOK_EVERY_S", waiting_module._LOOK_EVERY_S / times_as_fast)
    waiting = await _waits(queue)
    before = (await redis.info("stats"))["total_commands_processed"]
    began = time.monotonic()
    await asyncio.sleep(1)  # a rate needs a while
    commands = (await redis.info("stats"))["total_commands_processed"] - before - 1
    assert commands <= 2 * times_as_fast * (time.monotonic() - began)
    waiting.cancel()
