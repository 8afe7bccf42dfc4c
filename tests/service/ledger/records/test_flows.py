import asyncio
import json
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select

from service.flow_tables import flows
from service.ledger.ledger import Ledger
from service.ledger.models import NewFlow, NewJob
from service.ledger.reads.flows import counts_of
from service.ledger.records.purged import delete_jobs
from service.ledger.states import Outcome, State
from service.tables import moment_text
from tests.service.ledger.linking import callback, called, child, end, enqueue_all, enqueue_flow, follow_up
from tests.service.ledger.makers import NOW, enqueue, finish, live_worker, new_job, start

ALL = (callback("success", told="data"), callback("failure"), callback("end"))
FLOW = NewFlow("f", NOW, "nightly", ALL)


def in_flow(*parents: NewJob) -> NewJob:
    return child(*parents, flow="f")


async def live(ledger: Ledger) -> int:
    async with ledger.read() as connection:
        return int((await connection.execute(select(flows.c.live))).scalar_one())


async def events(ledger: Ledger) -> list[str]:
    return sorted(event for event, _ in await called(ledger, "f"))


async def test_a_flow_has_ended_with_its_last_job(ledger: Ledger) -> None:
    one, other = in_flow(), in_flow()
    await enqueue_flow(ledger, FLOW, one, other)
    assert not (await end(ledger, one)).followed.released
    released = (await end(ledger, other)).followed.released
    by_event = dict(await called(ledger, "f"))
    assert sorted(by_event) == ["end", "success"]
    assert {job.id for job in released} == {row.id for row in by_event.values()}
    told = json.loads(by_event["success"].args)
    assert told["event"] == "flow.succeeded"
    assert told["data"] == {
        "id": "f",
        "name": "nightly",
        "state": "succeeded",
        "counts": {"succeeded": 2},
        "created_at": "2026-06-01T12:00:00.000000Z",
        "finished_at": "2026-06-01T12:00:00.000000Z",
    }


async def test_a_flow_is_told_to_have_ended_when_its_own_last_job_did(ledger: Ledger) -> None:
    ends = {"f": NOW + timedelta(seconds=1), "g": NOW + timedelta(seconds=2)}
    await live_worker(ledger)
    started = []
    for flow in ends:
        job = child(flow=flow)
        await enqueue_flow(ledger, NewFlow(flow, NOW, "nightly", ALL), job)
        started.append(await start(ledger, job.id))
    finishes = [
        finish(one, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=at)
        for one, at in zip(started, ends.values(), strict=True)
        if one is not None
    ]
    await asyncio.gather(*map(ledger.finish, finishes))
    for flow, at in ends.items():
        told = json.loads(dict(await called(ledger, flow))["success"].args)
        assert told["data"]["finished_at"] == moment_text(at)


async def test_a_flow_fails_with_any_of_its_jobs_and_ends_when_the_last_has_fallen(ledger: Ledger) -> None:
    one = in_flow()
    second = in_flow(one)
    third = in_flow(second)
    await enqueue_flow(ledger, FLOW, one, second, third)
    await end(ledger, one, State.FAILED)
    assert await events(ledger) == []
    assert len(await follow_up(ledger)) == 2
    assert await events(ledger) == ["end", "failure"]
    assert await live(ledger) == 0


async def test_a_flow_ends_again_after_a_replay_has_taken_back_what_fell(ledger: Ledger) -> None:
    one = in_flow()
    second = in_flow(one)
    await enqueue_flow(ledger, FLOW, one, second)
    await end(ledger, one, State.FAILED)
    assert await ledger.replay(one.id, NOW)
    assert await live(ledger) == 1
    await follow_up(ledger)
    assert await live(ledger) == 2
    await end(ledger, one)
    await end(ledger, second)
    assert await events(ledger) == ["end", "end", "failure", "success"]


async def test_a_flow_has_not_ended_with_a_replayed_job_that_ends_before_it_was_followed_up(ledger: Ledger) -> None:
    one = in_flow()
    second = in_flow(one)
    third = in_flow(second)
    await enqueue_flow(ledger, FLOW, one, second, third)
    await end(ledger, one, State.FAILED)
    await follow_up(ledger)
    assert await events(ledger) == ["end", "failure"]
    await ledger.replay(one.id, NOW)
    for job in (one, second):
        await end(ledger, job)
        assert await events(ledger) == ["end", "failure"]
    await follow_up(ledger)
    await end(ledger, third)
    assert await events(ledger) == ["end", "end", "failure", "success"]
    assert await live(ledger) == 0


async def test_a_job_that_joins_counts_and_the_flow_ends_with_it(ledger: Ledger) -> None:
    one = in_flow()
    await enqueue_flow(ledger, FLOW, one)
    joined = in_flow()
    await enqueue_all(ledger, joined)
    await end(ledger, one)
    assert await events(ledger) == []
    await end(ledger, joined)
    assert await events(ledger) == ["end", "success"]


async def test_a_flow_whose_jobs_cannot_run_has_ended_at_once(ledger: Ledger) -> None:
    before = new_job()
    await enqueue_all(ledger, before)
    await end(ledger, before, State.FAILED)
    enqueued = await enqueue_flow(ledger, FLOW, in_flow(before))
    assert len(enqueued.followed.released) == 2
    assert await events(ledger) == ["end", "failure"]


async def test_a_request_sent_again_counts_nothing_twice(ledger: Ledger) -> None:
    one = in_flow()
    for _ in range(2):
        await enqueue_flow(ledger, FLOW, one)
    assert await live(ledger) == 1


async def test_a_job_that_a_holder_stands_for_is_not_in_the_flow(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(unique_key="k"))
    await enqueue_flow(ledger, FLOW, in_flow(), child(flow="f", unique_key="k"))
    assert await live(ledger) == 1


async def test_a_flow_whose_jobs_others_all_stand_for_has_ended_at_once(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(unique_key="k"))
    for _ in range(2):
        enqueued = await enqueue_flow(ledger, FLOW, child(flow="f", unique_key="k"))
        assert await events(ledger) == ["end", "success"]
    assert not enqueued.followed.released, "sent again, it has not ended again"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
async def test_a_flow_without_callbacks_counts_nothing(ledger: Ledger, state: State) -> None:
    one = in_flow()
    await enqueue_flow(ledger, NewFlow("f", NOW), one)
    await end(ledger, one, state)
    assert await live(ledger) == 0
    assert await events(ledger) == []


async def _finished_at(ledger: Ledger) -> datetime | None:
    async with ledger.read() as connection:
        return (await counts_of(connection, ["f"]))["f"].finished_at


async def test_a_flow_that_a_job_has_joined_no_longer_shows_when_it_was_made_as_its_end(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(unique_key="k"))
    await enqueue_flow(ledger, FLOW, child(flow="f", unique_key="k"))
    assert await _finished_at(ledger) == NOW
    joined = in_flow()
    await enqueue_all(ledger, joined)
    await end(ledger, joined)
    await ledger.database.run(partial(delete_jobs, ids=[joined.id], belongings=()))
    assert await _finished_at(ledger) is None, "nobody knows when its last job ended"
