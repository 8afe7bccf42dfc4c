"""What follows from ends of jobs reaches the queue at once, from whichever process wrote them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from jobs import Context, Discard, job
from service.ledger.callbacks import Template
from service.ledger.models import Callback, NewJob
from service.ledger.records import decided
from service.lifecycle.new_job import new_job
from service.options import Options
from service.settings import Settings
from service.worker.keeping import chores
from service.worker.worker import Worker
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


class Args(BaseModel):
    fails: bool = False


@job("link", max_attempts=1)
async def link(_ctx: Context, args: Args) -> None:
    if args.fails:
        raise Discard("as it was asked")


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, link) as opened:
        yield opened


@pytest.fixture
async def worker(settings: Settings, desk: Desk) -> AsyncIterator[Worker]:
    async with running_worker(settings, catalogue_of(link)) as running:
        yield running


def made(*after: NewJob, fails: bool = False, **fields: Any) -> NewJob:
    job = new_job(link, Args(fails=fails), Options(), datetime.now(UTC))
    return replace(job, after=tuple(one.id for one in after), **fields)


class NoFollowups:
    def __init__(self, *_: Any) -> None: ...

    async def follow_up(self) -> bool:
        return False

    async def mend(self) -> None: ...


async def has_ended(worker: Worker) -> bool:
    return worker.main_task is not None and worker.main_task.done()


async def ended(desk: Desk, jobs: Sequence[NewJob]) -> list[str]:
    return [(await desk.ended(job.id))["state"] for job in jobs]


async def on_queue(redis: Redis) -> set[str]:
    return {member.decode() for member in await redis.zrange("arq:queue", 0, -1)}


async def test_a_chain_runs_link_by_link_without_a_sweep(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "Followups", NoFollowups)
    monkeypatch.setattr("service.ledger.reads.dispatching.GRACE_BEFORE_DISPATCH", timedelta(hours=1))
    chain = [made()]
    for _ in range(30):
        chain.append(made(chain[-1]))
    await desk.lifecycle.enqueue(chain)
    async with running_worker(settings, catalogue_of(link)):
        assert set(await ended(desk, chain)) == {"succeeded"}


async def test_a_diamond_runs(desk: Desk, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decided, "MOST_EDGES", 10)
    first = made()
    middle = [made(first) for _ in range(45)]
    last = made(*middle)
    await desk.lifecycle.enqueue([first, *middle, last])
    assert set(await ended(desk, [first, *middle, last])) == {"succeeded"}


async def test_what_fails_takes_down_what_needs_it_and_a_replay_brings_it_back(desk: Desk, worker: Worker) -> None:
    first = made(fails=True)
    second = made(first)
    third = made(second)
    await desk.lifecycle.enqueue([first, second, third])
    assert await ended(desk, [first, second, third]) == ["failed", "cancelled", "cancelled"]
    await desk.lifecycle.replay(first.id)

    async def has_run_again() -> bool:
        return bool((await desk.row(first.id))["attempt"] == 2)

    await eventually(has_run_again)
    assert await ended(desk, [first, second, third]) == ["failed", "cancelled", "cancelled"]


async def test_a_burst_stays_until_its_ends_are_followed_up(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader's chore would follow up, too, but the burst does not stay for it."""
    monkeypatch.setattr(chores, "Followups", NoFollowups)
    monkeypatch.setattr(decided, "MOST_EDGES", 1)
    first = made(fails=True)
    others = [made(first, run_when="ended") for _ in range(30)]
    await desk.lifecycle.enqueue([first, *others])
    async with running_worker(settings, catalogue_of(link), burst=True) as running:
        await eventually(partial(has_ended, running))
    assert {(await desk.row(job.id))["state"] for job in others} == {"succeeded"}


async def test_a_burst_follows_up_what_others_have_left(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "Followups", NoFollowups)
    first, second = made(), made()
    third = made(second, run_when="ended")
    second = replace(second, after=(first.id,))
    await desk.lifecycle.enqueue([first, second, third])
    await desk.ledger.cancel(first.id, "gone", datetime.now(UTC))
    async with running_worker(settings, catalogue_of(link), burst=True) as running:
        await eventually(partial(has_ended, running))
    assert (await desk.row(third.id))["state"] == "succeeded"


async def test_a_callback_runs(desk: Desk, worker: Worker) -> None:
    template = Template("link", "default", "{}", 1).to_json()
    first = made(callbacks=(Callback("success", template),))
    await desk.lifecycle.enqueue([first])
    await desk.ended(first.id)

    async def has_run() -> bool:
        async with desk.ledger.read() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT state FROM jobs JOIN callback_jobs ON callback_jobs.job_id = jobs.id"
            )
            return [row[0] for row in rows] == ["succeeded"]

    await eventually(has_run)


async def test_a_cancel_in_the_api_sets_off_what_comes_after_it(desk: Desk, redis: Redis) -> None:
    first = made()
    second, third = made(first, run_when="ended"), made(first)
    fourth = made(third, run_when="ended")
    await desk.lifecycle.enqueue([first, second, third, fourth])
    assert await on_queue(redis) == {first.id}
    await desk.lifecycle.cancel(first.id)

    async def both_are_on_the_queue() -> bool:
        return {second.id, fourth.id} <= await on_queue(redis)

    await eventually(both_are_on_the_queue)


async def test_blocked_jobs_and_jobs_cancelled_at_once_are_not_put_on_the_queue(desk: Desk, redis: Redis) -> None:
    first = made()
    await desk.lifecycle.enqueue([first])
    await desk.lifecycle.cancel(first.id)
    await redis.flushall()
    await desk.lifecycle.enqueue([made(first), other := made(), made(other)])
    assert await on_queue(redis) == {other.id}


async def test_an_outage_leaves_followups_to_the_sweep(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made()
    second = made(first)
    third = made(second)
    await desk.lifecycle.enqueue([first, second, third])
    cancelled = await desk.ledger.cancel(first.id, "desk", datetime.now(UTC))
    assert cancelled is not None
    assert cancelled.followed.left
    sweeping = desk.sweep_as()

    async def has_fallen() -> bool:
        await sweeping.sweep()
        return bool((await desk.row(third.id))["state"] == "cancelled")

    await asyncio.wait_for(eventually(has_fallen), 30)
