import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from service.ledger.ledger import Ledger
from service.ledger.models import IdempotencyKey
from service.ledger.reads.counts import count_live
from service.ledger.reads.listing import Filter, list_jobs
from service.tables import jobs
from tests.service.ledger.makers import (
    NOW,
    enqueue,
    job_row,
    new_job,
)


async def test_enqueued_job_reads_back_as_it_was_given(ledger: Ledger) -> None:
    job = new_job(
        args='{"name":"Änn \\u2028 \'q\'"}', tags=("a", "b"), run_at=NOW + timedelta(microseconds=1), timeout_s=1.5
    )
    assert (await enqueue(ledger, job)).ids == (job.id,)
    row = await job_row(ledger, job.id)
    for name in ("id", "kind", "state", "queue", "args", "run_at", "created_at", "max_attempts", "timeout_s"):
        assert row[name] == getattr(job, name), name
    assert row["tags"] == '["a","b"]'


async def test_enqueueing_the_same_id_again_is_a_success_and_adds_nothing(ledger: Ledger) -> None:
    job = new_job()
    assert (await enqueue(ledger, job)).ids == (await enqueue(ledger, job)).ids
    async with ledger.read() as connection:
        assert await count_live(connection) == {"running": 0, "waiting": 1}


async def test_live_unique_key_returns_its_holder(ledger: Ledger) -> None:
    first, second = new_job(unique_key="k"), new_job(unique_key="k")
    await enqueue(ledger, first)
    result = await enqueue(ledger, second)
    assert result.ids == (first.id,)
    assert result.created == frozenset()


async def test_fifty_parallel_jobs_of_one_unique_key_make_one(ledger: Ledger) -> None:
    results = await asyncio.gather(*(enqueue(ledger, new_job(unique_key="k")) for _ in range(50)))
    assert len({result.ids for result in results}) == 1
    assert sum(len(result.created) for result in results) == 1


async def test_unique_key_is_free_again_when_its_job_has_ended(ledger: Ledger) -> None:
    first, second = new_job(unique_key="k"), new_job(unique_key="k")
    await enqueue(ledger, first)
    await ledger.cancel(first.id, "test", NOW)
    assert (await enqueue(ledger, second)).created == {second.id}


def key(fingerprint: str = "f", **fields: Any) -> IdempotencyKey:
    given = IdempotencyKey("key", fingerprint, '{"answer":1}', NOW, NOW + timedelta(hours=24))
    return replace(given, **fields)


async def test_idempotency_key_returns_the_first_answer_and_records_nothing_more(ledger: Ledger) -> None:
    first, second = new_job(), new_job()
    assert (await enqueue(ledger, first, key=key())).created == {first.id}
    held = (await enqueue(ledger, second, key=key("other"))).held
    assert (held.fingerprint, held.answer, held.job_id) == ("f", '{"answer":1}', first.id)
    assert await job_row(ledger, second.id) is None


async def test_parallel_requests_of_one_idempotency_key_make_one_job(ledger: Ledger) -> None:
    results = await asyncio.gather(*(enqueue(ledger, new_job(), key=key()) for _ in range(50)))
    assert sum(len(result.created) for result in results) == 1
    assert sum(result.held is not None for result in results) == 49


async def test_expired_idempotency_key_is_free_again(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(), key=key())
    later = NOW + timedelta(hours=25)
    again = new_job()
    assert (await enqueue(ledger, again, key=key(created_at=later, expires_at=later + timedelta(1)))).created == {
        again.id
    }


async def test_batch_is_recorded_all_or_none(ledger: Ledger) -> None:
    good, bad = new_job(), new_job(queue=None)
    with pytest.raises(Exception, match=r"(?i)null"):
        await enqueue(ledger, good, bad)
    assert await job_row(ledger, good.id) is None


async def test_one_job_with_bad_data_does_not_fail_its_neighbours(ledger: Ledger) -> None:
    jobs = [new_job(queue=None if number == 37 else "default") for number in range(100)]
    results = await asyncio.gather(*(enqueue(ledger, job) for job in jobs), return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, Exception)] == [37]
    async with ledger.read() as connection:
        assert (await count_live(connection))["waiting"] == 99


async def test_jobs_in_lanes_are_numbered_in_the_order_in_which_they_come(ledger: Ledger) -> None:
    limits = '{"host:a":{"from":"kind"}}'
    some = [
        new_job(lane="tenant:42"),
        new_job(),
        new_job(kind_lane="host:a", lane_limits=limits),
        new_job(lane="tenant:42", kind_lane="host:a", unique_key="k", sealed_args="{}"),
    ]
    await enqueue(ledger, *some)
    await enqueue(ledger, last := new_job(lane="tenant:42"))
    rows = [await job_row(ledger, job.id) for job in (*some, last)]
    shown = [(row["lane"], row["kind_lane"], row["lane_limits"]) for row in rows]
    assert shown == [(job.lane, job.kind_lane, job.lane_limits) for job in (*some, last)]
    seqs = [row["lane_seq"] for row in rows]
    assert seqs[1] is None
    numbers = [seq for seq in seqs if seq is not None]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4


async def test_many_jobs_in_one_lane_keep_the_order_of_their_batch(ledger: Ledger) -> None:
    batch = [new_job(lane="a") for _ in range(2_500)]
    await enqueue(ledger, *batch)
    async with ledger.read() as connection:
        found = await connection.execute(select(jobs.c.id).where(jobs.c.lane == "a").order_by(jobs.c.lane_seq))
        assert list(found.scalars()) == [job.id for job in batch]


async def test_a_lane_lists_its_jobs_whoever_named_it(ledger: Ledger) -> None:
    named, derived, other = new_job(lane="a"), new_job(kind_lane="a"), new_job(lane="b", kind_lane="c")
    await enqueue(ledger, named, derived, other, new_job())
    async with ledger.read() as connection:
        for wanted in (Filter(lane="a"), Filter(lane="a", states=("queued",)), Filter(lane="a", kinds=("greet",))):
            assert {row["id"] for row in await list_jobs(connection, wanted, 10)} == {named.id, derived.id}
        assert not await list_jobs(connection, Filter(lane="a", states=("failed",)), 10)
