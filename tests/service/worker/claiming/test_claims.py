"""From ids on the queue to started attempts: order, fairness, due times, unknown kinds, and foreign content."""

import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from jobs import Context, Kind, ThreadContext, job
from service.ledger.models import Started
from service.ledger.reads.counts import waiting_of_unknown_kinds
from service.ledger.records.expired import record_expired
from service.lifecycle.new_job import new_job
from service.options import Options
from service.queue import MAX_PAYLOAD_BYTES, Room, key_of
from service.settings import Settings
from service.tables import jobs
from service.worker.claiming.claims import Claims
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.workload import Workload
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import eventually
from tests.support.writing import writing

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

MINUTE_MS = 60_000


class Args(BaseModel):
    value: Any = None


@job("known")
async def known(_ctx: Context, _args: Args) -> None: ...


@job("newer")
async def newer(_ctx: Context, _args: Args) -> None: ...


@job("in_process", runs="process")
def in_process(_ctx: ThreadContext, _args: Args) -> None: ...


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, known, newer) as opened:
        yield opened


@asynccontextmanager
async def claimer(settings: Settings, *kinds: Kind[Any, Any]) -> AsyncIterator[Claims]:
    """A worker as far as claims go: registered, and knowing `kinds`."""
    async with open_desk(settings, *kinds) as opened:
        yield await _claims(opened)


async def _claims(desk: Desk, worker_id: str | None = None) -> Claims:
    workload = Workload(worker_id or desk.resources.process_id)
    await WorkerLease(desk.resources, desk.lifecycle, workload).begin()
    return Claims(desk.resources, desk.lifecycle, workload)


def _ids(started: Sequence[Started]) -> list[str]:
    return [one.id for one in started]


async def _enqueue_many(desk: Desk, count: int, kind: Kind[Any, Any] = known) -> list[str]:
    now = datetime.now(UTC)
    jobs = [new_job(kind, Args(), Options(), now) for _ in range(count)]
    await desk.lifecycle.enqueue(jobs)
    return [one.id for one in jobs]


async def _score(redis: Redis, job_id: str) -> float | None:
    found: float | None = await redis.zscore(key_of("default"), job_id)
    return found


async def _eventually_empty(redis: Redis) -> None:
    """Wait until started ids have left Redis, which nobody waits for in a worker."""

    async def empty() -> bool:
        return not await redis.keys("arq:*")

    await eventually(empty)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# ---- two claimers, one job


async def test_twenty_claimers_start_each_job_exactly_once(desk: Desk, database_url: str) -> None:
    total = 2_000 if database_url.startswith("sqlite") else 10_000
    given = await _enqueue_many(desk, total)
    claimers = [await _claims(desk, f"worker-{number}") for number in range(20)]

    async def start_all(claims: Claims) -> list[str]:
        mine: list[str] = []
        while started := await claims.take(Room(50)):
            mine += _ids(started)
        return mine

    shares = await asyncio.gather(*(start_all(claims) for claims in claimers))
    started = [job_id for share in shares for job_id in share]
    assert len(started) == total
    assert set(started) == set(given)
    async with desk.ledger.read() as connection:
        once = select(func.count()).where(jobs.c.state == "running", jobs.c.attempt == 1)
        assert (await connection.execute(once)).scalar_one() == total


# ---- priority


async def test_a_job_of_high_priority_overtakes_a_backlog(desk: Desk) -> None:
    await _enqueue_many(desk, 200)
    urgent = await desk.enqueue(known, priority=5)
    claims = await _claims(desk)
    assert _ids(await claims.take(Room(1))) == [urgent]


async def test_a_job_of_low_priority_waits_behind_later_ones_and_runs_at_once_when_there_are_none(
    desk: Desk, redis: Redis
) -> None:
    low = await desk.enqueue(known, priority=-5)
    others = await _enqueue_many(desk, 5)
    claims = await _claims(desk)
    assert sorted(_ids(await claims.take(Room(5)))) == sorted(others)
    assert _ids(await claims.take(Room(5))) == [low]
    await _eventually_empty(redis)
    assert await redis.keys("postlude:low:*") == []


async def test_of_two_low_priorities_the_higher_runs_first(desk: Desk) -> None:
    lower, higher = await desk.enqueue(known, priority=-9), await desk.enqueue(known, priority=-1)
    claims = await _claims(desk)
    assert _ids(await claims.take(Room(1))) + _ids(await claims.take(Room(1))) == [higher, lower]


async def test_an_old_job_is_not_starved_by_endless_urgent_ones(desk: Desk) -> None:
    now = datetime.now(UTC)
    old = await desk.record_only(known, run_at=now - timedelta(minutes=101), created_at=now - timedelta(hours=4))
    old_and_low = await desk.record_only(
        known, run_at=now - timedelta(minutes=201), created_at=now - timedelta(hours=4), priority=-10
    )
    for _ in range(10):
        await desk.enqueue(known, priority=10)
    await desk.redispatch()
    claims = await _claims(desk)
    assert sorted(_ids(await claims.take(Room(2)))) == sorted([old, old_and_low])


async def test_priority_never_makes_a_job_early_and_counts_from_when_it_is_due(desk: Desk, redis: Redis) -> None:
    job_id = await desk.enqueue(known, delay=timedelta(seconds=20), priority=10)
    run_at = (await desk.row(job_id))["run_at"]
    assert await _score(redis, job_id) == _ms(run_at)
    later = await desk.record_only(known, state="scheduled", run_at=run_at - timedelta(seconds=21), priority=3)
    lower = await desk.record_only(known, state="retrying", run_at=run_at - timedelta(seconds=21), priority=-3)
    await redis.zadd(key_of("default"), {later: 1, lower: 1})
    await desk.sweep_as("nobody").sweep()
    assert await _score(redis, later) == _ms(run_at) - 21_000 - 30 * MINUTE_MS
    assert await _score(redis, lower) == _ms(run_at) - 21_000 + 30 * MINUTE_MS
    assert sorted(_ids(await (await _claims(desk)).take(Room(5)))) == sorted([later, lower])


# ---- several queues


async def test_a_flooded_queue_leaves_its_share_to_another(desk: Desk, settings: Settings) -> None:
    await _enqueue_many(desk, 300)
    few = [await desk.enqueue(known, queue="slow") for _ in range(3)]
    async with claimer(settings.model_copy(update={"queues": ("slow", "default")}), known) as claims:
        # The flooded queue has the first turn.
        for_both = await claims.take(Room(10))
        assert len(for_both) == 10
        assert sorted(one.id for one in for_both if one.queue == "slow") == sorted(few)
        assert len(await claims.take(Room(100))) == 100


async def test_queues_take_turns_where_only_one_slot_is_free(desk: Desk, settings: Settings) -> None:
    names = ("default", "slow", "mail")
    for name in names:
        for _ in range(4):
            await desk.enqueue(known, queue=name)
    async with claimer(settings.model_copy(update={"queues": names}), known) as claims:
        turns = [(await claims.take(Room(1)))[0].queue for _ in range(6)]
    assert sorted(turns[:3]) == sorted(names)
    assert turns[:3] == turns[3:]


async def test_all_queues_are_claimed_from_in_one_call(settings: Settings, redis: Redis) -> None:
    names = tuple(f"q{number}" for number in range(5))
    async with claimer(settings.model_copy(update={"queues": names}), known) as claims:
        await claims.take(Room(1))  # loads the script
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        await claims.take(Room(1))
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == before + 1


# ---- due times


@pytest.mark.parametrize("state", ["scheduled", "retrying", "queued"])
async def test_a_stale_entry_starts_no_job_before_its_time(desk: Desk, redis: Redis, state: str) -> None:
    run_at = datetime.now(UTC) + timedelta(seconds=20)
    job_id = await desk.record_only(known, state=state, run_at=run_at)
    await redis.zadd(key_of("default"), {job_id: 1})
    assert await (await _claims(desk)).take(Room(5)) == []
    assert (await desk.row(job_id))["state"] == state
    assert await _score(redis, job_id) == _ms(run_at)


async def test_a_stale_entry_of_a_job_beyond_the_horizon_leaves_redis(desk: Desk, redis: Redis) -> None:
    job_id = await desk.record_only(known, state="scheduled", run_at=datetime.now(UTC) + timedelta(hours=1))
    await redis.zadd(key_of("default"), {job_id: 1})
    assert await (await _claims(desk)).take(Room(5)) == []
    assert await redis.keys("arq:*") == []


async def test_a_job_is_started_in_the_very_millisecond_that_it_is_due(desk: Desk) -> None:
    claims = await _claims(desk)
    for _ in range(50):
        job_id = await desk.enqueue(known)
        assert _ids(await claims.take(Room(1))) == [job_id]


# ---- expires_in


async def test_a_job_that_has_expired_when_it_is_claimed_is_not_started_and_fails(desk: Desk, redis: Redis) -> None:
    now = datetime.now(UTC)
    job_id = await desk.record_only(known, run_at=now - timedelta(minutes=1), expires_at=now - timedelta(seconds=1))
    await redis.zadd(key_of("default"), {job_id: 1})
    claims = await _claims(desk)
    assert await claims.take(Room(5)) == []
    async with writing(desk.ledger.database) as connection:
        assert len(await connection.run_sync(record_expired, "test", now, 10)) == 1
    await redis.zadd(key_of("default"), {job_id: 1})
    assert await claims.take(Room(5)) == []
    row = await desk.row(job_id)
    assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "Expired", 0)
    assert await redis.keys("arq:*") == []


async def test_an_expired_job_that_is_replayed_may_start_at_any_time(desk: Desk) -> None:
    now = datetime.now(UTC)
    job_id = await desk.record_only(known, run_at=now, expires_at=now)
    async with writing(desk.ledger.database) as connection:
        assert len(await connection.run_sync(record_expired, "test", now, 10)) == 1
    await desk.lifecycle.replay(job_id)
    async with writing(desk.ledger.database) as connection:
        assert await connection.run_sync(record_expired, "test", now + timedelta(days=1), 10) == []
    assert _ids(await (await _claims(desk)).take(Room(5))) == [job_id]


# ---- kinds that a worker does not know


async def test_a_thousand_jobs_of_an_unknown_kind_do_not_block_the_known_behind_them(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    unknown = await _enqueue_many(desk, 1_000, newer)
    behind = await _enqueue_many(desk, 10)
    with capture_logs() as logged:
        async with claimer(settings, known) as older:
            assert sorted(_ids(await older.take(Room(100)))) == sorted(behind)
            evaluated = (await redis.info("commandstats"))["cmdstat_zadd"]["calls"]
            assert await older.take(Room(100)) == []
    assert (await redis.info("commandstats"))["cmdstat_zadd"]["calls"] == evaluated, "they are met again and again"
    assert [one["kind"] for one in logged if one["event"] == "kind_unknown"] == ["newer"]
    assert await redis.zcard(key_of("default")) == 1_000
    async with claimer(settings, known, newer) as newcomer:
        assert _ids(await newcomer.take(Room(10))) == unknown[:10]


async def test_a_worker_that_knows_the_kind_gets_it_at_once_among_ten_older_ones(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    job_id = await desk.enqueue(newer)
    async with claimer(settings, known) as older, claimer(settings, known, newer) as newcomer:
        for _ in range(10):
            assert await older.take(Room(100)) == []
        assert _ids(await newcomer.take(Room(1))) == [job_id]
        await _eventually_empty(redis)
    assert await redis.zcard("postlude:aside:default:newer") == 0


async def test_what_was_set_aside_comes_back_by_itself_when_its_mention_is_lost(
    desk: Desk, settings: Settings, redis: Redis
) -> None:
    job_id = await desk.enqueue(newer)
    async with claimer(settings, known) as older:
        assert await older.take(Room(1)) == []
    await redis.delete("postlude:aside:default", "postlude:aside:default:newer")
    score = await _score(redis, job_id)
    assert score is not None
    assert 50_000 < score - _ms(datetime.now(UTC)) <= 60_000
    await redis.zincrby(key_of("default"), -60_000, job_id)  # what the passing of time does
    async with claimer(settings, newer) as newcomer:
        assert _ids(await newcomer.take(Room(1))) == [job_id]


async def test_jobs_of_kinds_that_no_living_worker_knows_are_counted(desk: Desk, settings: Settings) -> None:
    await _enqueue_many(desk, 3, newer)
    await _enqueue_many(desk, 2)

    async def counted() -> Sequence[tuple[str, int]]:
        async with desk.ledger.read() as connection:
            return await waiting_of_unknown_kinds(connection, datetime.now(UTC))

    assert await counted() == []  # nobody works at all, which is another matter
    async with claimer(settings, known):
        assert await counted() == [("newer", 3)]
        async with claimer(settings, newer):
            assert await counted() == []


# ---- foreign content


def _call(**fields: Any) -> bytes:
    return json.dumps({"t": None, "f": "known", "a": [], "k": {}, "et": _ms(datetime.now(UTC)), **fields}).encode()


FOREIGN = {
    "garbage": (b"not json", "not a job in arq's format"),
    "json but no job": (b"[1]", "not a job in arq's format"),
    "deep json": (b"[" * 100_000 + b"]" * 100_000, "not a job in arq's format"),
    "deep args": (_call(k={"value": json.loads("[" * 300 + "]" * 300)}), "levels deep"),
    "pickle": (pickle.dumps({"f": "known"}), "pickled"),
    "huge": (b"x" * (MAX_PAYLOAD_BYTES + 1), "larger than"),
    "no time": (_call(et=None), "not a job in arq's format"),
    "no such time": (_call(et=1e300), "not a job in arq's format"),
    "surrogate": (_call(f="\ud800"), "not a job in arq's format"),
    "long name": (_call(f="x" * 101), "no kind has the name"),
    "ours no more": (_call(postlude=1), "does not know it"),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_payload_is_removed_and_reported_once_and_the_rest_runs(
    desk: Desk, redis: Redis, name: str
) -> None:
    payload, reason = FOREIGN[name]
    await redis.set("arq:job:foreign", payload)
    await redis.zadd(key_of("default"), {"foreign": 1})
    job_id = await desk.enqueue(known)
    claims = await _claims(desk)
    with capture_logs() as logged:
        assert _ids(await claims.take(Room(10))) == [job_id]
        assert await claims.take(Room(10)) == []
    (report,) = [one for one in logged if one["event"] == "queue_member_removed"]
    assert reason in report["reason"]
    assert await redis.keys("arq:*") == []


async def test_the_payload_of_another_type_is_removed_too(desk: Desk, redis: Redis) -> None:
    await redis.zadd("arq:job:foreign", {"x": 1})
    await redis.zadd(key_of("default"), {"foreign": 1})
    with capture_logs() as logged:
        assert await (await _claims(desk)).take(Room(10)) == []
    assert ["not of Redis' type string" in one["reason"] for one in logged if "reason" in one] == [True]
    assert await redis.keys("arq:*") == []


async def test_garbage_at_the_payload_of_an_accepted_job_does_not_keep_it(desk: Desk, redis: Redis) -> None:
    job_id = await desk.enqueue(known)
    await redis.delete(f"arq:job:{job_id}")
    await redis.zadd(f"arq:job:{job_id}", {"x": 1})
    assert _ids(await (await _claims(desk)).take(Room(10))) == [job_id]


@pytest.mark.parametrize("arq_id", ["a/b", "two\nlines", "tab\t", "/"])
async def test_an_id_that_no_path_can_hold_gets_another_and_keeps_its_own_as_a_tag(
    desk: Desk, redis: Redis, arq_id: str
) -> None:
    await redis.set(f"arq:job:{arq_id}", _call())
    await redis.zadd(key_of("default"), {arq_id: 1})
    (started,) = await (await _claims(desk)).take(Room(10))
    assert (started.arq_id, started.id != arq_id) == (arq_id, True)
    assert json.loads((await desk.row(started.id))["tags"]) == [f"arq:{arq_id}"]


async def test_an_id_with_a_space_and_of_full_length_is_adopted_twice(desk: Desk, redis: Redis) -> None:
    arq_id = "a b" + "x" * 252
    for number in range(2):
        claims = await _claims(desk, f"worker-{number}")
        await redis.set(f"arq:job:{arq_id}", _call(et=1_700_000_000_000 + number))
        await redis.zadd(key_of("default"), {arq_id: 1})
        await redis.delete(f"arq:in-progress:{arq_id}")
        (started,) = await claims.take(Room(10))
        assert (started.id == arq_id) is (number == 0)


async def test_the_wrong_clock_of_an_arq_client_does_not_delay_its_job(desk: Desk, redis: Redis) -> None:
    await redis.set("arq:job:ahead", _call(et=_ms(datetime.now(UTC) + timedelta(days=365))))
    await redis.zadd(key_of("default"), {"ahead": 1})
    assert _ids(await (await _claims(desk)).take(Room(10))) == ["ahead"]


async def test_arq_clients_jobs_for_which_no_child_is_free_go_back_at_once(settings: Settings, redis: Redis) -> None:
    few = settings.model_copy(update={"processes": 2})
    async with claimer(few, in_process) as claims:
        ids = [f"theirs-{number}" for number in range(5)]
        for number, arq_id in enumerate(ids):
            await redis.set(f"arq:job:{arq_id}", _call(f="in_process", et=1_700_000_000_000 + number))
            await redis.zadd(key_of("default"), {arq_id: number + 1})
        started = await claims.take(Room(5))
        soon = _ms(datetime.now(UTC)) + 2_000
        assert len(started) <= 2
        waiting = set(ids) - set(_ids(started))
        assert all([(await _score(redis, arq_id) or soon) < soon for arq_id in waiting])
        assert claims.next_try_in_s > 0


async def test_an_arq_clients_job_of_an_unknown_kind_waits_for_a_worker_that_knows_it(
    settings: Settings, redis: Redis
) -> None:
    await redis.set("arq:job:theirs", _call(f="newer"))
    await redis.zadd(key_of("default"), {"theirs": 1})
    async with claimer(settings, known) as older, claimer(settings, newer) as newcomer:
        assert await older.take(Room(10)) == []
        assert _ids(await newcomer.take(Room(10))) == ["theirs"]


async def test_worker_holds_no_more_once_crashed_jobs_than_it_has_slots(settings: Settings, redis: Redis) -> None:
    async with open_desk(settings, known) as desk:
        claims = await _claims(desk)
        claims._workload.slots.limit_to(2)
        ids = await _enqueue_many(desk, 6)
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id.in_(ids[:4])).values(crashes=1))
        started = await claims.take(Room(6))
        assert set(_ids(started)) == {*ids[4:], *ids[:2]}
        soon = (datetime.now(UTC) + timedelta(seconds=2)).timestamp() * 1000
        for job_id in ids[2:4]:
            score = await _score(redis, job_id)
            assert score is not None
            assert score <= soon, "it comes up again"

        async def started_ones_are_off_the_queue() -> bool:
            return [await _score(redis, job_id) for job_id in _ids(started)] == [None] * len(started)

        await eventually(started_ones_are_off_the_queue)
