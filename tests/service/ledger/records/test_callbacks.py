import json

import pytest
from sqlalchemy import select

from service.flow_tables import callback_jobs
from service.ledger.ledger import Ledger
from service.ledger.reads.counts import tally_totals
from service.ledger.records.callbacks import insert_callbacks
from service.ledger.states import Outcome, State
from service.ledger.traits import Trait
from service.tables import job_tags
from tests.service.ledger.linking import callback, called, child, edges, end, enqueue_all, follow_up
from tests.service.ledger.makers import NOW, finish, job_row, new_job, running, start

ALL = (callback("success"), callback("failure"), callback("end"))


@pytest.mark.parametrize(
    ("state", "events"), [(State.SUCCEEDED, ["end", "success"]), (State.FAILED, ["end", "failure"])]
)
async def test_the_callbacks_of_an_end_are_jobs_recorded_with_it(
    ledger: Ledger, state: State, events: list[str]
) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    followed = (await end(ledger, job, state)).followed
    by_event = dict(await called(ledger, job.id))
    assert sorted(by_event) == events
    assert {one.id for one in followed.released} == {row.id for row in by_event.values()}
    row = by_event["end"]
    assert (row.state, row.kind, row.run_at, row.traits) == ("queued", "greet", NOW, Trait.PARENTS)
    async with ledger.read() as connection:
        tagged = await connection.execute(select(job_tags.c.tag, job_tags.c.job_id))
        assert {(tag, job_id) for tag, job_id in tagged} == {("callback", one.id) for one in by_event.values()}


async def test_a_cancelled_job_calls_back_as_a_failed_one_does(ledger: Ledger) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    cancelled = await ledger.cancel(job.id, "test", NOW)
    assert cancelled is not None
    assert len(cancelled.followed.released) == 2
    assert sorted(event for event, _ in await called(ledger, job.id)) == ["end", "failure"]


async def test_a_job_that_falls_with_its_parent_calls_back(ledger: Ledger) -> None:
    one = new_job()
    second = child(one, callbacks=ALL)
    third = child(second, callbacks=ALL)
    await enqueue_all(ledger, one, second, third)
    followed = (await end(ledger, one, State.FAILED)).followed
    assert len(followed.released) == 2
    assert len(await follow_up(ledger)) == 2
    for job in (second, third):
        assert sorted(event for event, _ in await called(ledger, job.id)) == ["end", "failure"]


async def test_an_attempt_that_does_not_end_its_job_calls_nobody_back(ledger: Ledger) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    await end(ledger, job, State.RETRYING)
    assert await called(ledger, job.id) == []


async def test_a_finish_that_is_refused_or_repeated_calls_nobody_back_again(ledger: Ledger) -> None:
    started = await running(ledger, callbacks=ALL)
    ended = finish(started, Outcome.SUCCEEDED, State.SUCCEEDED)
    assert (await ledger.finish(ended._replace(attempt=7))) is None
    assert await called(ledger, started.id) == []
    assert await ledger.finish(ended)
    assert await ledger.finish(ended)
    assert len(await called(ledger, started.id)) == 2


async def test_each_end_calls_back_after_a_replay_too(ledger: Ledger) -> None:
    job = new_job(callbacks=(callback("end"),))
    await enqueue_all(ledger, job)
    await end(ledger, job, State.FAILED)
    assert await ledger.replay(job.id, NOW)
    assert len(await called(ledger, job.id)) == 1
    await end(ledger, job)
    assert len(await called(ledger, job.id)) == 2


async def test_a_callback_is_told_what_ended_and_may_read_its_result(ledger: Ledger) -> None:
    job = new_job(callbacks=(callback("end", told="data"),))
    await enqueue_all(ledger, job)
    await end(ledger, job)
    [(_, row)] = await called(ledger, job.id)
    args = json.loads(row.args)
    assert args["event"] == "job.succeeded"
    assert (args["data"]["id"], args["data"]["state"]) == (job.id, "succeeded")
    assert args["data"]["finished_at"] == "2026-06-01T12:00:00.000000Z"
    assert await edges(ledger) == {(job.id, row.id): "met"}
    assert await start(ledger, row.id) is not None


async def test_a_callback_that_waits_a_while_is_scheduled(ledger: Ledger) -> None:
    job = new_job(callbacks=(callback("end", delay_s=60, expires_in_s=90),))
    await enqueue_all(ledger, job)
    await end(ledger, job)
    [(_, row)] = await called(ledger, job.id)
    assert (row.state, (row.run_at - NOW).seconds, (row.expires_at - NOW).seconds) == ("scheduled", 60, 90)


async def test_callbacks_count_as_enqueued(ledger: Ledger) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    await end(ledger, job)
    async with ledger.read() as connection:
        assert ("greet", "enqueued", 3) in await tally_totals(connection)


async def test_keeping_callbacks_twice_keeps_them_once(ledger: Ledger) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    await ledger.database.run(lambda connection: insert_callbacks(connection, [(job.id, ALL[0])]))
    await end(ledger, job)
    async with ledger.read() as connection:
        assert len((await connection.execute(select(callback_jobs))).all()) == 2


async def test_the_row_of_an_owner_stays_as_it_was(ledger: Ledger) -> None:
    job = new_job(callbacks=ALL)
    await enqueue_all(ledger, job)
    await end(ledger, job)
    assert (await job_row(ledger, job.id))["traits"] == Trait.CALLBACKS
