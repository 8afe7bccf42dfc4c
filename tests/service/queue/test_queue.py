import asyncio
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import Job, JobStatus, serialize_result
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.queue import (
    CLAIM_HOLD_MS,
    LONGEST_ID,
    UNREACHABLE,
    Again,
    Entry,
    Queue,
    Result,
    deserialize,
    is_own_payload,
    key_of,
    open_redis,
    serialize,
)
from tests.support.running import eventually
from tests.support.servers import RedisServer

HOLD = timedelta(milliseconds=CLAIM_HOLD_MS)


@pytest.fixture
async def queue(redis: Redis, redis_server: RedisServer) -> AsyncIterator[Queue]:
    arq = open_redis(redis_server.url)
    yield Queue(arq)
    await arq.aclose(close_connection_pool=True)


def entry(job_id: str, due_in_s: float = -1, queue: str = "default") -> Entry:
    return Entry(job_id, "greet", queue, datetime.now(UTC) + timedelta(seconds=due_in_s))


async def claim(queue: Queue, count: int = 100, name: str = "default") -> list[str]:
    return [claimed.member.decode() for claimed in (await queue.claim([name], count)).claimed]


async def score(redis: Redis, member: str) -> float | None:
    found: float | None = await redis.zscore(key_of("default"), member)
    return found


def seconds_from_now(score_ms: float | None) -> float:
    assert score_ms is not None
    return score_ms / 1000 - datetime.now(UTC).timestamp()


def arq_job(queue: Queue, job_id: str) -> Job:
    return Job(job_id, queue.redis, _deserializer=deserialize)


async def test_due_ids_are_claimed_longest_due_first_with_their_scores(queue: Queue) -> None:
    given = [entry("b", -2), entry("a", -3), entry("c", -1)]
    await queue.put(given)
    taken = await queue.claim(["default"], 2)
    assert [(one.member, one.queue) for one in taken.claimed] == [(b"a", "default"), (b"b", "default")]
    assert await claim(queue) == ["c"]


async def test_a_claimed_id_is_not_claimed_again_within_its_hold(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a")])
    assert await claim(queue) == ["a"]
    assert await claim(queue) == []
    assert 0 < await redis.pttl(in_progress_key_prefix + "a") <= CLAIM_HOLD_MS
    assert 10 < seconds_from_now(await score(redis, "a")) <= HOLD.total_seconds()


async def test_an_id_whose_claimer_died_is_claimed_again_after_its_hold(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a")])
    await claim(queue)
    await redis.delete(in_progress_key_prefix + "a")  # what its expiry does
    await redis.zincrby(key_of("default"), -CLAIM_HOLD_MS, "a")  # what the passing of time does
    assert await claim(queue) == ["a"]


async def test_twenty_claimers_get_each_of_two_thousand_ids_once(queue: Queue) -> None:
    ids = {f"job-{n}" for n in range(2_000)}
    await queue.put([entry(job_id) for job_id in ids])

    async def claim_all() -> list[str]:
        mine: list[str] = []
        while some := await claim(queue, 30):
            mine += some
        return mine

    shares = await asyncio.gather(*(claim_all() for _ in range(20)))
    claimed = [job_id for share in shares for job_id in share]
    assert len(claimed) == 2_000
    assert set(claimed) == ids


async def test_an_id_that_a_stock_worker_holds_is_not_claimed_and_does_not_block_the_head(
    queue: Queue, redis: Redis
) -> None:
    await queue.put([entry("held", -9), entry("free", -1)])
    await redis.set(in_progress_key_prefix + "held", "1", px=60_000)
    assert await claim(queue, 1) == ["free"]
    assert await claim(queue, 1) == []
    assert await redis.pttl(in_progress_key_prefix + "held") > 50_000


async def test_an_id_that_is_not_due_is_not_claimed(queue: Queue) -> None:
    await queue.put([entry("later", 60), entry("now")])
    assert await claim(queue) == ["now"]


async def test_each_queue_has_its_own_ids(queue: Queue) -> None:
    await queue.put([entry("a"), entry("b", queue="slow")])
    assert (key_of("default"), key_of("slow")) == ("arq:queue", "arq:queue:slow")
    assert await claim(queue, name="slow") == ["b"]
    assert await claim(queue) == ["a"]


async def test_an_id_that_is_there_already_keeps_its_place(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a", -5)])
    before = await score(redis, "a")
    await queue.put([entry("a", 60)])
    assert await score(redis, "a") == before


async def test_putting_lifts_the_claim_that_a_dead_worker_left(queue: Queue, redis: Redis) -> None:
    await redis.set(in_progress_key_prefix + "a", "1", px=60_000)
    await queue.put([entry("a")])
    assert await claim(queue) == ["a"]


async def test_putting_nothing_is_harmless(queue: Queue, redis: Redis) -> None:
    await queue.put([])
    await queue.remove("default", [])
    await queue.put_back([])
    assert await redis.keys("*") == []


async def test_an_id_put_back_may_be_claimed_when_its_time_comes(queue: Queue) -> None:
    await queue.put([entry("a")])
    await claim(queue)
    await queue.put_back([entry("a", 60)])
    assert await claim(queue) == []
    await queue.put_back([entry("a", -1)])
    assert await claim(queue) == ["a"]


async def test_an_id_that_has_left_the_queue_is_not_put_back(queue: Queue, redis: Redis) -> None:
    await queue.put_back([entry("a")])
    assert await redis.keys("*") == []


async def test_nothing_is_left_of_a_removed_id(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a"), entry("b")])
    await claim(queue)
    await queue.remove("default", [b"a", b"b"])
    assert await redis.keys("*") == [b"postlude:wake:default"]


async def test_a_member_that_is_not_utf8_is_claimed_and_removed_too(queue: Queue, redis: Redis) -> None:
    await redis.zadd(key_of("default"), {b"\xff\xfe": 1})
    (claimed,) = (await queue.claim(["default"], 10)).claimed
    assert claimed.member == b"\xff\xfe"
    await queue.remove("default", [claimed.member])
    assert await redis.keys("*") == []


async def test_a_member_that_can_be_no_id_is_removed_and_reported_without_being_carried(
    queue: Queue, redis: Redis
) -> None:
    await redis.zadd(key_of("default"), {b"": 1, b"x" * 1_000_000: 2, b"a": float("-inf")})
    with capture_logs() as logged:
        assert await claim(queue) == ["a"]
        assert await claim(queue) == []
    assert [one["event"] for one in logged] == ["queue_member_removed"] * 2
    assert max(len(one["found"]) for one in logged) <= LONGEST_ID
    assert await redis.zcard(key_of("default")) == 1


async def test_a_queue_key_of_another_type_is_parked_once_and_all_queues_go_on(queue: Queue, redis: Redis) -> None:
    await redis.set(key_of("default"), "precious")
    await redis.set("postlude:low:slow", "mine")
    await queue.put([entry("a", queue="slow")])
    with capture_logs() as logged:
        taken = await queue.claim(["default", "slow"], 10)
        assert [one.member for one in taken.claimed] == [b"a"]
        await queue.put([entry("b")])
        assert await claim(queue) == ["b"]
    assert sorted(one["key"] for one in logged if one["event"] == "queue_key_parked") == [
        key_of("default"), "postlude:low:slow",
    ]  # fmt: skip
    assert sorted([await redis.get(key) for key in await redis.keys("postlude:parked:*")]) == [b"mine", b"precious"]


async def test_a_claim_without_an_end_is_given_one(queue: Queue, redis: Redis) -> None:
    await redis.set(in_progress_key_prefix + "a", "1")
    await redis.zadd(key_of("default"), {"a": 1})
    with capture_logs() as logged:
        assert await claim(queue) == []
    assert [one["event"] for one in logged] == ["endless_claim_ended"]
    assert 0 < await redis.pttl(in_progress_key_prefix + "a") <= CLAIM_HOLD_MS


async def test_more_kinds_set_aside_than_a_claim_looks_at_cost_no_job(queue: Queue, redis: Redis) -> None:
    now = datetime.now(UTC)
    entries = [Entry(f"job-{n}", f"kind-{n}", "default", now) for n in range(300)]
    await queue.put(entries)
    assert len(await claim(queue, 500)) == 300
    await queue.set_aside(entries, now)
    kinds = [one.kind for one in entries]
    got: set[bytes] = set()

    async def all_got() -> bool:
        got.update(one.member for one in (await queue.claim(["default"], 500, kinds)).claimed)
        return len(got) == 300

    await eventually(all_got)
    assert await redis.keys("postlude:aside:*") == []


async def test_a_mention_of_a_job_that_has_left_the_queue_is_dropped(queue: Queue, redis: Redis) -> None:
    await queue.put([Entry("low", "greet", "default", datetime.now(UTC), priority=-1)])
    await redis.zrem(key_of("default"), "low")  # as arq's own worker does
    assert await claim(queue) == []
    assert await redis.keys("postlude:low:*") == []


async def test_a_job_of_low_priority_is_in_arqs_order_for_workers_that_know_of_no_other(
    queue: Queue, redis: Redis
) -> None:
    await queue.put([Entry("low", "greet", "default", datetime.now(UTC) - timedelta(minutes=31), priority=-3)])
    assert -61 < seconds_from_now(await score(redis, "low")) <= -59
    assert await claim(queue) == ["low"]
    await queue.remove("default", [b"low"])
    assert await redis.keys("*") == [b"postlude:wake:default"]


async def test_arqs_own_job_reads_how_far_ours_is(queue: Queue, redis: Redis) -> None:
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


async def test_the_payload_of_an_arq_client_is_kept_and_known_as_not_ours(queue: Queue) -> None:
    await queue.redis.enqueue_job("greet", _job_id="theirs", name="Ann")
    before = (await queue.arq.payloads(["theirs"]))["theirs"]
    await queue.put([entry("theirs")])
    assert isinstance(before, bytes)
    assert await queue.arq.payloads(["theirs", "nobody's"]) == {"theirs": before, "nobody's": None}
    assert not is_own_payload(before)


@pytest.mark.parametrize(
    "payload", [b'{"k":{"note":"\\"postlude\\":1"}}', b'{"k":{"postlude":1}}', b'"postlude":1', b"[1]"]
)
def test_a_payload_that_only_mentions_ours_is_not_ours(payload: bytes) -> None:
    assert not is_own_payload(payload)


async def test_a_huge_payload_is_not_read(queue: Queue, redis: Redis) -> None:
    await redis.setrange("arq:job:huge", 50_000_000, "x")
    await redis.hset("arq:job:odd", "x", "y")  # type: ignore[misc]  # its type is that of both clients
    await redis.set("arq:job:small", "x")
    found = await queue.arq.payloads(["huge", "odd", "small"])
    assert "larger than" in str(found["huge"])
    assert "type string" in str(found["odd"])
    assert found["small"] == b"x", "its neighbours are read all the same"


async def test_a_held_id_is_in_progress_to_arqs_clients_for_so_long(queue: Queue, redis: Redis) -> None:
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


async def test_the_epoch_stays_until_redis_is_emptied(queue: Queue, redis: Redis) -> None:
    first = await queue.epoch()
    assert await queue.epoch() == first
    assert 0 < len(first) <= 64
    await redis.flushall()
    assert await queue.epoch() != first


async def test_every_client_sees_the_same_epoch(queue: Queue, redis_server: RedisServer) -> None:
    other = open_redis(redis_server.url)
    epochs = await asyncio.gather(*(Queue(client).epoch() for client in (queue.redis, other) for _ in range(5)))
    assert len(set(epochs)) == 1
    await other.aclose(close_connection_pool=True)


async def test_a_restarted_redis_is_a_new_epoch_and_claims_go_on(short_dir: Path) -> None:
    server = RedisServer(short_dir / "redis-restarted", options=("--appendfsync", "always"))
    server.start()
    arq = open_redis(server.url)
    queue = Queue(arq)
    try:
        first = await queue.epoch()
        await queue.put([entry("a"), entry("b")])
        assert await claim(queue, 1) == ["a"]
        server.stop()
        with pytest.raises(UNREACHABLE):
            await queue.epoch()
        await asyncio.to_thread(server.start)
        assert await eventually(lambda: epoch_of(queue)) != first
        assert await claim(queue) == ["b"]
    finally:
        await arq.aclose(close_connection_pool=True)
        server.stop()


async def epoch_of(queue: Queue) -> str | None:
    try:
        return await queue.epoch()
    except UNREACHABLE:
        return None


def test_the_serializer_reads_what_it_writes_and_never_a_pickle() -> None:
    assert deserialize(serialize({"f": "greet", "k": {"name": "Änn"}})) == {"f": "greet", "k": {"name": "Änn"}}
    for foreign in (pickle.dumps({"f": "greet"}), b"[1]", b"nonsense", b""):
        with pytest.raises(ValueError):
            deserialize(foreign)


async def test_arq_redis_is_what_the_rest_of_arq_expects(queue: Queue) -> None:
    assert isinstance(queue.redis, ArqRedis)
    assert (queue.redis.job_serializer, queue.redis.job_deserializer) == (serialize, deserialize)


def test_transport_that_was_reset_under_uvloop_reads_as_redis_being_away(redis_server: RedisServer) -> None:
    async def send_on_a_reset_connection() -> None:
        arq = open_redis(redis_server.url)
        connection = await arq.connection_pool.get_connection()
        connection._writer.transport.abort()
        try:
            with pytest.raises(UNREACHABLE):
                await connection.send_command("PING")
            await arq.connection_pool.release(connection)
            assert await arq.ping()
        finally:
            await arq.aclose(close_connection_pool=True)

    uvloop.run(send_on_a_reset_connection())
