import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import Start, Started
from service.ledger.records.lanes import Said, record_rule
from service.ledger.records.workers import record_dead, record_heartbeat
from service.ledger.states import TERMINAL, Outcome, State
from tests.service.ledger.makers import (
    NOW,
    attempt_rows,
    build_lanes,
    enqueue,
    finish,
    job_row,
    live_worker,
    new_job,
    running,
    start,
    start_in_lane,
)
from tests.support.writing import writing


async def test_start_numbers_the_attempt_and_returns_the_args_with_their_secrets(ledger: Ledger) -> None:
    started = await running(ledger, args='{"a":"***"}', sealed_args='{"a":"s3cret"}')
    assert (started.attempt, started.args) == (1, '{"a":"s3cret"}')
    row = await job_row(ledger, started.id)
    assert (row["state"], row["attempt"], row["worker"], row["started_at"]) == ("running", 1, "w1", NOW)
    assert [(a["number"], a["outcome"]) for a in await attempt_rows(ledger, started.id)] == [(1, None)]


@pytest.mark.parametrize("told", [{"trace_context": '{"traceparent":"00-1"}', "metadata": '{"n":1}'}, {}], ids=str)
async def test_an_attempt_carries_the_trace_and_the_metadata_of_its_job(ledger: Ledger, told: dict[str, str]) -> None:
    started = await running(ledger, **told)
    assert (started.trace_context, started.metadata) == (told.get("trace_context"), told.get("metadata"))


async def test_running_job_is_not_started_again(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await start(ledger, started.id) is None
    assert len(await attempt_rows(ledger, started.id)) == 1


async def test_dead_worker_starts_nothing(ledger: Ledger) -> None:
    await live_worker(ledger)
    await live_worker(ledger, "rescuer")
    later = NOW + timedelta(seconds=25)
    async with writing(ledger.database) as connection:
        for seconds in range(5, 30, 5):
            assert await connection.run_sync(record_heartbeat, "rescuer", NOW + timedelta(seconds=seconds))
        assert await connection.run_sync(record_dead, "rescuer", later) == ["w1"]
    job = new_job()
    await enqueue(ledger, job)
    assert await start(ledger, job.id) is None


async def test_unknown_kind_and_expired_job_are_not_started(ledger: Ledger) -> None:
    await live_worker(ledger)
    unknown, expired = new_job(kind="newer"), new_job(expires_at=NOW - timedelta(seconds=1))
    await enqueue(ledger, unknown, expired)
    assert await start(ledger, unknown.id) is None
    assert await start(ledger, expired.id) is None


async def test_job_is_started_from_its_due_time_on_by_the_clock_of_due_times(ledger: Ledger) -> None:
    worker = await live_worker(ledger)
    job = new_job(run_at=NOW + timedelta(minutes=1))
    await enqueue(ledger, job)
    assert await start(ledger, job.id) is None
    early, due = (Start((job.id,), worker, ("greet",), NOW, NOW + timedelta(seconds=s)) for s in (59, 60))
    assert not await ledger.start(early)
    assert await ledger.start(due)


async def test_an_attempt_in_lanes_knows_them_and_their_limits(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    job = new_job(lane="tenant:42", kind_lane="host:a", lane_limits='{"host:a":{"from":"kind"}}', sealed_args='{"a":1}')
    await enqueue(ledger, job)
    started = (await start_in_lane(ledger, job.id))[job.id]
    assert (started.lane, started.kind_lane, started.lane_limits) == ("tenant:42", "host:a", job.lane_limits)
    assert (started.args, started.worker, started.started_at) == ('{"a":1}', "w1", NOW)


async def test_a_strict_lane_starts_its_jobs_in_order_whatever_is_claimed(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    first, second, other = new_job(lane="a"), new_job(lane="a"), new_job(lane="b")
    for job in (first, second, other):
        await enqueue(ledger, job)
    assert not await start_in_lane(ledger, second.id, strict=["a"])
    assert (await start_in_lane(ledger, second.id, first.id, strict=["a"])).keys() == {first.id}
    assert not await start_in_lane(ledger, second.id, strict=["a"])  # the first one runs
    assert await start_in_lane(ledger, other.id, strict=["b"])


@pytest.mark.parametrize("state", [State.RETRYING, State.QUEUED, State.SUCCEEDED, State.FAILED])
async def test_a_strict_lane_is_held_until_its_first_job_has_ended(ledger: Ledger, state: State) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    first, second = new_job(lane="a"), new_job(lane="a")
    await enqueue(ledger, first, second)
    started = (await start_in_lane(ledger, first.id, strict=["a"]))[first.id]
    outcome = Outcome.SUCCEEDED if state is State.SUCCEEDED else Outcome.FAILED
    await ledger.finish(finish(started, outcome, state, run_at=NOW + timedelta(hours=1)))
    assert bool(await start_in_lane(ledger, second.id, strict=["a"])) is (state in TERMINAL)


async def test_only_the_lane_that_is_strict_holds_a_job_back(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    earlier, job = new_job(lane="tenant:42"), new_job(lane="tenant:42", kind_lane="host:a")
    await enqueue(ledger, earlier, job)
    assert await start_in_lane(ledger, job.id, strict=["host:a"])


async def test_a_lane_is_the_same_one_whether_requests_or_kinds_name_it(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    earlier, job = new_job(kind_lane="host:a"), new_job(lane="host:a", kind_lane="host:b")
    await enqueue(ledger, earlier, job)
    assert not await start_in_lane(ledger, job.id, strict=["host:b", "host:a"])
    await ledger.cancel(earlier.id, "test", NOW)
    assert await start_in_lane(ledger, job.id, strict=["host:b", "host:a"])


async def test_a_job_in_a_lane_that_is_claimed_twice_at_one_moment_is_started_once(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    job = new_job(lane="a")
    await enqueue(ledger, job)
    both = await asyncio.gather(*(start_in_lane(ledger, job.id, strict=["a"]) for _ in range(2)))
    assert sorted(len(started) for started in both) == [0, 1]


async def in_lane(ledger: Ledger, **fields: Any) -> str:
    job = new_job(lane="tenant:1", **fields)
    await enqueue(ledger, job)
    return job.id


def _start_in_lanes(worker: str, *ids: str, **fields: Any) -> Start:
    return Start(ids, worker, ("greet",), NOW, lanes_epoch="e1", **fields)


async def test_job_in_a_lane_is_started_only_as_one(ledger: Ledger) -> None:
    worker, job_id = await live_worker(ledger), await in_lane(ledger)
    await build_lanes(ledger, "e1")
    assert await start(ledger, job_id) is None
    started = (await ledger.start(_start_in_lanes(worker, job_id)))[job_id]
    assert (started.lanes, started.in_lane) == (("tenant:1",), True)


@pytest.mark.parametrize("key", ["kind:greet", "queue:default"])
async def test_what_no_claim_has_chosen_is_not_started_while_it_is_paused(ledger: Ledger, key: str) -> None:
    worker, job = await live_worker(ledger), new_job()
    await enqueue(ledger, job)
    unclaimed = Start((job.id,), worker, ("greet",), NOW, handed_over=True)
    until = {"paused": True, "paused_until": NOW + timedelta(seconds=1)}
    await ledger.database.run(lambda connection: record_rule(connection, key, cast(Said, until), NOW))
    assert await ledger.start(unclaimed) == {}
    later = NOW + timedelta(seconds=2)
    assert list(await ledger.start(replace(unclaimed, at=later, due_by=later))) == [job.id]


async def test_arqs_own_worker_starts_jobs_past_their_lanes(ledger: Ledger) -> None:
    worker, job_id = await live_worker(ledger), await in_lane(ledger)
    started = (await ledger.start(Start((job_id,), worker, ("greet",), NOW, past_lanes=True)))[job_id]
    assert not started.in_lane, "its end is told to no lane"


async def test_start_that_comes_too_late_after_its_claim_is_refused(ledger: Ledger) -> None:
    worker, job_id = await live_worker(ledger), await in_lane(ledger)
    await build_lanes(ledger, "e1")
    assert not await ledger.start(_start_in_lanes(worker, job_id, until=time.monotonic() - 0.001))
    assert await ledger.start(_start_in_lanes(worker, job_id, until=time.monotonic() + 60))


def test_the_time_of_a_claim_is_all_that_a_claim_adds() -> None:
    started = Started("j", "k", 1, 0, 0, 5, "{}", None, "default", None, NOW, "w", NOW, kind_lane="host:a")
    assert started.claimed_at(7) == started._replace(claimed_ms=7)
