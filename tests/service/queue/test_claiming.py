"""Claims: who gets which ids, for how long, and what is mended on the way."""

import asyncio
from datetime import UTC, datetime, timedelta

from arq.constants import in_progress_key_prefix
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.queue import (
    CLAIM_HOLD_MS,
    LONGEST_ID,
    Entry,
    Queue,
    Room,
    key_of,
)
from tests.service.queue.ids import HOLD, claim, entry, score, seconds_from_now
from tests.support.running import eventually


async def test_due_ids_are_claimed_longest_due_first_with_their_scores(queue: Queue) -> None:
    given = [entry("b", -2), entry("a", -3), entry("c", -1)]
    await queue.put(given)
    taken = await queue.claim(["default"], Room(2))
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


async def test_a_member_that_is_not_utf8_is_claimed_and_removed_too(queue: Queue, redis: Redis) -> None:
    await redis.zadd(key_of("default"), {b"\xff\xfe": 1})
    (claimed,) = (await queue.claim(["default"], Room(10))).claimed
    assert claimed.member == b"\xff\xfe"
    await queue.remove("default", [claimed.member])
    assert await redis.keys("*") == []


async def test_a_member_that_cannot_be_an_id_is_removed_and_reported(queue: Queue, redis: Redis) -> None:
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
        taken = await queue.claim(["default", "slow"], Room(10))
        assert [one.member for one in taken.claimed] == [b"a"]
        await queue.put([entry("b")])
        assert await claim(queue) == ["b"]
    assert sorted(one["key"] for one in logged if one["event"] == "queue_key_parked") == [
        key_of("default"), "postlude:low:slow",
    ]  # fmt: skip
    assert sorted([await redis.get(key) for key in await redis.keys("postlude:parked:*")]) == [b"mine", b"precious"]


async def test_a_claim_without_an_expiry_gets_one(queue: Queue, redis: Redis) -> None:
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
        got.update(one.member for one in (await queue.claim(["default"], Room(500), kinds)).claimed)
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
