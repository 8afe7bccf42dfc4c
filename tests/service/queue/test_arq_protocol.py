"""What arq's own clients see of jobs, ours and theirs."""

from datetime import UTC, datetime, timedelta

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import JobStatus, serialize_result
from redis.asyncio import Redis

from service.queue import (
    Again,
    Queue,
    Result,
    deserialize,
    is_own_payload,
    key_of,
    serialize,
)
from tests.service.queue.ids import arq_job, claim, entry, score, seconds_from_now
from tests.support.running import eventually


async def test_arqs_job_class_reads_the_status_of_ours(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a"), entry("b", 60)])
    assert await arq_job(queue, "a").status() is JobStatus.queued
    assert await arq_job(queue, "b").status() is JobStatus.deferred
    await claim(queue)
    assert await arq_job(queue, "a").status() is JobStatus.in_progress
    await queue.remove("default", [b"a"])
    assert await arq_job(queue, "a").status() is JobStatus.not_found


async def test_a_payload_names_the_kind_for_arq_and_holds_no_args_and_never_expires(queue: Queue, redis: Redis) -> None:
    given = entry("a")
    await queue.put([given])
    info = await arq_job(queue, "a").info()
    assert info is not None
    assert (info.function, [*info.args], info.kwargs) == ("greet", [], {})
    assert abs(info.enqueue_time - given.due_at) < timedelta(seconds=1)
    payload = (await queue.arq.payloads(["a"]))["a"]
    assert isinstance(payload, bytes)
    assert is_own_payload(payload)
    assert await redis.ttl(job_key_prefix + "a") == -1


async def test_an_arq_clients_payload_is_kept_and_recognized(queue: Queue) -> None:
    await queue.redis.enqueue_job("greet", _job_id="theirs", name="Ann")
    before = (await queue.arq.payloads(["theirs"]))["theirs"]
    await queue.put([entry("theirs")])
    assert isinstance(before, bytes)
    assert await queue.arq.payloads(["theirs", "nobody's"]) == {"theirs": before, "nobody's": None}
    assert not is_own_payload(before)


async def test_a_huge_payload_is_not_read(queue: Queue, redis: Redis) -> None:
    await redis.setrange("arq:job:huge", 50_000_000, "x")
    await redis.hset("arq:job:odd", "x", "y")  # type: ignore[misc]  # its type is that of both clients
    await redis.set("arq:job:small", "x")
    found = await queue.arq.payloads(["huge", "odd", "small"])
    assert "larger than" in str(found["huge"])
    assert "type string" in str(found["odd"])
    assert found["small"] == b"x", "its neighbours are read all the same"


async def test_a_held_id_is_in_progress_to_arq_clients_while_it_is_held(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a")])
    await queue.arq.hold({"a": 90.5})
    assert await arq_job(queue, "a").status() is JobStatus.in_progress
    assert 85_000 < await redis.pttl(in_progress_key_prefix + "a") <= 90_500


async def test_an_id_put_again_waits_for_its_next_time_and_is_free_then(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a")])
    await claim(queue)
    await queue.arq.settle([Again("a", "default", datetime.now(UTC) + timedelta(seconds=60))])
    assert 55 < seconds_from_now(await score(redis, "a")) <= 60
    assert await arq_job(queue, "a").status() is JobStatus.deferred
    await queue.arq.settle([Again("a", "default", datetime.now(UTC) - timedelta(seconds=1))])
    assert await claim(queue) == ["a"]


async def test_the_end_of_an_adopted_job_is_read_by_its_client(queue: Queue, redis: Redis) -> None:
    job = await queue.redis.enqueue_job("greet", name="Ann")
    assert job is not None
    assert await eventually(lambda: claim(queue)) == [job.job_id]  # arq rounds its score up
    ended_at = int(datetime.now(UTC).timestamp() * 1000)
    result = serialize_result(
        "greet", (), {}, 1, ended_at, True, "hello", ended_at, ended_at, "x", "arq:queue", job.job_id,
        serializer=serialize,
    )  # fmt: skip
    assert result is not None
    await queue.arq.settle([Result(job.job_id, "default", result)])
    assert await job.status() is JobStatus.complete
    assert await job.result(timeout=5) == "hello"
    assert await redis.zcard(key_of("default")) == 0
    assert sorted(await redis.keys("*")) == [f"arq:result:{job.job_id}".encode()]
    assert 3_500 < await redis.ttl(f"arq:result:{job.job_id}") <= 3_600


async def test_arq_redis_is_what_the_rest_of_arq_expects(queue: Queue) -> None:
    assert isinstance(queue.redis, ArqRedis)
    assert (queue.redis.job_serializer, queue.redis.job_deserializer) == (serialize, deserialize)
