import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest

from service.lane_rules import Limits, Rule
from service.ledger.ledger import Ledger
from service.ledger.models import Start
from service.ledger.reads import lanes as reads
from service.ledger.records.lanes import (
    Breaker,
    Said,
    record_breakers,
    record_forgotten,
    record_rebuild,
    record_rule,
    record_rule_deleted,
)
from service.ledger.records.started import record_started
from service.ledger.states import State
from tests.service.ledger.makers import (
    NOW,
    build_lanes,
    enqueue,
    job_row,
    live_worker,
    new_job,
    start_in_lane,
)
from tests.support.running import eventually

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def say(ledger: Ledger, key: str, at: datetime = NOW, **said: Any) -> Rule:
    return await ledger.database.run(partial(record_rule, key=key, said=cast(Said, said), at=at))


async def rules(ledger: Ledger) -> list[Rule]:
    async with ledger.read() as connection:
        return await reads.rules(connection)


async def version(ledger: Ledger) -> str:
    async with ledger.read() as connection:
        return await reads.rules_version(connection)


async def test_what_is_said_of_a_lane_adds_to_what_was_said_before(ledger: Ledger) -> None:
    await say(ledger, "tenant:42", concurrency=3, rate_limit=5, rate_per_s=0.5, strict=False)
    until = NOW + timedelta(seconds=9)
    rule = await say(ledger, "tenant:42", paused=True, paused_until=until)
    assert rule.limits == Limits(3, (5, 0.5))
    assert await rules(ledger) == [rule]
    assert await say(ledger, "tenant:42", paused=True, paused_until=until) == rule  # as after a lost answer


async def test_a_rule_that_says_nothing_any_more_leaves_nothing_behind(ledger: Ledger) -> None:
    await say(ledger, "a", concurrency=3, paused=True)
    await say(ledger, "a", concurrency=None)
    assert [rule.key for rule in await rules(ledger)] == ["a"]
    resumed = await say(ledger, "a", paused=False, paused_until=None)
    assert not resumed.paused
    assert await rules(ledger) == []


async def test_a_deleted_rule_is_gone_and_another_stays(ledger: Ledger) -> None:
    for key in ("a", "a*"):
        await say(ledger, key, concurrency=1)
    deletions = [await ledger.database.run(partial(record_rule_deleted, key="a")) for _ in range(2)]
    assert deletions == [True, False]
    assert [rule.key for rule in await rules(ledger)] == ["a*"]


async def test_the_version_of_the_rules_changes_with_each_change_by_a_user_and_not_by_breakers(ledger: Ledger) -> None:
    seen = [await version(ledger)]
    await say(ledger, "a", NOW, concurrency=1)
    seen.append(await version(ledger))
    await say(ledger, "a", NOW + timedelta(microseconds=1), concurrency=2)
    seen.append(await version(ledger))
    await ledger.database.run(partial(record_rule_deleted, key="a"))
    await say(ledger, "b", NOW + timedelta(microseconds=2), paused=True)
    seen.append(await version(ledger))
    assert len(set(seen)) == len(seen)
    opened = [Breaker("b", "open", NOW, 1, "no answer"), Breaker("c", "open", NOW, 1, "no answer")]
    await ledger.database.run(partial(record_breakers, breakers=opened, at=NOW + timedelta(seconds=1)))
    assert await version(ledger) == seen[-1]


async def test_a_breaker_is_kept_while_it_is_not_closed_and_does_not_touch_what_users_said(ledger: Ledger) -> None:
    said = await say(ledger, "host:b", concurrency=1)
    opened = [Breaker(key, "open", NOW + timedelta(seconds=20), 2, "it answers 503") for key in ("host:a", "host:b")]
    await ledger.database.run(partial(record_breakers, breakers=opened, at=NOW))
    kept = {rule.key: rule for rule in await rules(ledger)}
    assert kept["host:b"].limits == said.limits
    for rule in kept.values():
        assert (rule.breaker_state, rule.breaker_until) == ("open", NOW + timedelta(seconds=20))
        assert (rule.breaker_step, rule.breaker_reason) == (2, "it answers 503")
    closed = [Breaker(key, "closed") for key in kept]
    await ledger.database.run(partial(record_breakers, breakers=closed, at=NOW))
    assert await rules(ledger) == [said]


async def test_breakers_and_pauses_that_are_long_over_leave_nothing_behind(ledger: Ledger) -> None:
    long_ago, lately = NOW - timedelta(hours=2), NOW - timedelta(minutes=2)
    await say(ledger, "limited", concurrency=1)
    await say(ledger, "paused", paused=True)
    await say(ledger, "was-paused", paused=True, paused_until=long_ago)
    await say(ledger, "closed", breaker_forced="closed")
    opened = [Breaker(key, "open", long_ago, 3, "no answer") for key in ("gone", "limited", "paused")]
    opened.append(Breaker("down", "open", lately, 3, "no answer"))
    await ledger.database.run(partial(record_breakers, breakers=opened, at=NOW))
    before = NOW - timedelta(hours=1)
    async with ledger.read() as connection:
        assert await reads.has_forgettable(connection, before)
    await ledger.database.run(partial(record_forgotten, before=before))
    async with ledger.read() as connection:
        assert not await reads.has_forgettable(connection, before)
    kept = {rule.key: rule for rule in await rules(ledger)}
    assert sorted(kept) == ["closed", "down", "limited", "paused"]
    assert (kept["limited"].breaker_state, kept["limited"].breaker_step) == ("closed", 0)
    assert kept["paused"].paused
    assert kept["down"].breaker_state == "open"


async def test_a_rebuild_is_told_the_rules_and_what_runs_in_lanes(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    both = new_job(lane="tenant:42", kind_lane="host:a", lane_limits='{"host:a":{"from":"kind"}}')
    adopted, waits = new_job(kind_lane="host:a", arq_id="arq-1"), new_job(lane="tenant:42")
    await enqueue(ledger, both, adopted, waits, new_job())
    assert len(await start_in_lane(ledger, both.id, adopted.id)) == 2
    rule = await say(ledger, "tenant:*", concurrency=3)
    rebuild = await build_lanes(ledger, "epoch-2")
    assert rebuild.rules == [rule]
    running = {one.member: one for one in rebuild.running}
    assert running.keys() == {both.id, "arq-1"}
    assert running[both.id].lanes == ("tenant:42", "host:a")
    assert (running["arq-1"].lanes, running["arq-1"].queue) == (("host:a",), "default")


async def test_a_claim_of_before_a_rebuild_starts_nothing(ledger: Ledger) -> None:
    await live_worker(ledger)
    job = new_job(lane="a")
    await enqueue(ledger, job)
    assert not await start_in_lane(ledger, job.id, epoch="epoch-1")  # nobody has built lanes yet
    await build_lanes(ledger, "epoch-1")
    await build_lanes(ledger, "epoch-2")
    assert not await start_in_lane(ledger, job.id, epoch="epoch-1")
    assert (await job_row(ledger, job.id))["state"] == State.QUEUED
    assert await start_in_lane(ledger, job.id, epoch="epoch-2")


@on_postgres
async def test_a_start_that_meets_a_rebuild_waits_for_it_and_is_refused(ledger: Ledger) -> None:
    await live_worker(ledger)
    job = new_job(lane="a")
    await enqueue(ledger, job)
    await build_lanes(ledger, "epoch-1")
    async with ledger.database._for_jobs.connect() as rebuilding, rebuilding.begin():
        assert (await rebuilding.run_sync(record_rebuild, "epoch-2")).running == []
        start = asyncio.create_task(start_in_lane(ledger, job.id))
        await _waits_for_a_lock(ledger)
        assert not start.done()
    assert await start == {}


@on_postgres
async def test_a_rebuild_that_meets_a_start_waits_for_it_and_is_told_of_it(ledger: Ledger) -> None:
    await live_worker(ledger)
    job = new_job(lane="a")
    await enqueue(ledger, job)
    await build_lanes(ledger, "epoch-1")
    start = Start((job.id,), "w1", ("greet",), NOW, lanes_epoch="epoch-1")
    async with ledger.database._for_jobs.connect() as starting, starting.begin():
        assert await starting.run_sync(record_started, [start])
        rebuild = asyncio.create_task(build_lanes(ledger, "epoch-2"))
        await _waits_for_a_lock(ledger)
        assert not rebuild.done()
    assert [one.id for one in (await rebuild).running] == [job.id]


async def _waits_for_a_lock(ledger: Ledger) -> None:
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def waits() -> bool:
        async with ledger.read() as connection:
            return bool((await connection.exec_driver_sql(waiting)).all())

    await eventually(waits)
