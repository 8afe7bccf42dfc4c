"""The client for asyncio does to a real service what it says."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from postlude import AsyncClient, NewJob, Problem, WaitTimedOut
from postlude.models import ProgressEvent, StateEvent
from postlude.problems import ArgsInvalid, IdTaken, JobNotFound, KindUnknown, StateForbids
from pydantic import BaseModel, SecretStr

from tests.support.running import eventually

LONG_S = 60.0


async def test_a_job_runs_and_shows_its_result(client: AsyncClient, working: None) -> None:
    job = await client.enqueue("note", {"text": "hello "})
    assert (job.kind, job.state, job.args) == ("note", "queued", {"text": "hello ", "times": 1})
    done = await client.wait(job, timeout=LONG_S)
    assert (done.state, done.result, done.ended) == ("succeeded", "hello ", True)
    assert done.finished_at is not None
    assert done.finished_at.tzinfo is not None
    assert [attempt.outcome for attempt in (await client.get(job.id)).attempts] == ["succeeded"]


async def test_every_option_of_a_job_is_taken(client: AsyncClient) -> None:
    before = await client.enqueue("note", {"text": "before"})
    later = datetime.now(UTC) + timedelta(hours=1)
    job = await client.enqueue(
        "note",
        {"text": "x"},
        run_at=later,
        queue="default",
        priority=3,
        max_attempts=2,
        timeout=timedelta(seconds=5),
        expires_in=timedelta(days=1),
        unique_key="one",
        unique_for=60,
        on_conflict="replace",
        tags=["a", "b"],
        metadata={"tenant": "acme"},
        lane={"key": "tenant:42", "rate": {"limit": 5, "per": timedelta(minutes=1)}, "order": "strict"},
        retry={"delays": [timedelta(seconds=10), 60], "max_duration": timedelta(hours=2)},
        after=[before],
        run_when="ended",
        on_end={"kind": "note", "args": {"text": "end"}, "delay": timedelta(seconds=1)},
        on_failure={"url": "http://127.0.0.1:9/", "headers": {"x": "y"}},
    )
    assert (job.state, job.run_at, job.priority, job.max_attempts) == ("blocked", later, 3, 2)
    assert (job.tags, job.metadata, job.lane) == (["a", "b"], {"tenant": "acme"}, "tenant:42")
    assert (job.after, job.blocked_by) == ([before.id], [before.id])
    assert {one.event for one in job.callbacks} == {"failure", "end"}


class Thing(BaseModel):
    at: datetime
    lasting: timedelta
    price: Decimal
    secret: SecretStr


async def test_models_and_plain_values_arrive_as_they_are(client: AsyncClient, working: None) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    thing = Thing(at=at, lasting=timedelta(minutes=1), price=Decimal("1.10"), secret=SecretStr("hush"))
    for args in (thing, dict(thing)):
        done = await client.wait(await client.enqueue("types", args), timeout=LONG_S)
        assert done.result == {"at": "2026-01-31T12:00:00Z", "lasting": "PT1M", "price": "1.10", "secret": "HUSH"}


async def test_a_refused_job_says_where_it_is_wrong(client: AsyncClient) -> None:
    with pytest.raises(ArgsInvalid) as refused:
        await client.enqueue("note", {"txt": "x"})
    assert refused.value.status == 422
    assert [one["loc"] for one in refused.value.errors] == [["args", "text"], ["args", "txt"]]
    assert "args.text: Field required" in str(refused.value)
    with pytest.raises(KindUnknown, match="Known kinds"):
        await client.enqueue("nonesuch")
    with pytest.raises(JobNotFound) as lost:
        await client.get("no such?job")
    assert isinstance(lost.value, Problem)
    assert "no such?job" in lost.value.detail


async def test_the_same_job_enqueued_twice_is_one_job(client: AsyncClient) -> None:
    again = NewJob("note", {"text": "once"})
    first = await client.enqueue("note", {"text": "once"}, id=again.id)
    assert await client.enqueue_many([again]) == [first.id]
    assert [job.id async for job in client.list()] == [first.id]
    with pytest.raises(IdTaken):
        await client.enqueue("note", {"text": "twice"}, id=again.id)


async def test_an_idempotency_key_of_ones_own_makes_one_job(client: AsyncClient) -> None:
    jobs = [await client.enqueue("note", {"text": "x"}, idempotency_key="order-7") for _ in range(2)]
    assert jobs[0].id == jobs[1].id


async def test_more_jobs_than_a_request_takes_come_in_order(client: AsyncClient) -> None:
    ids = await client.enqueue_many(NewJob("note", {"text": str(number)}) for number in range(10_500))
    assert len(set(ids)) == 10_500
    assert ids == sorted(ids)
    listed = [job.id async for job in client.list(order="asc", kind="note")]
    assert listed == ids


async def test_jobs_after_a_refused_batch_are_sent_again_without_doubles(client: AsyncClient) -> None:
    jobs = [NewJob("note", {"text": str(number)}) for number in range(10_001)]
    good, jobs[-1].args = jobs[-1].args, {"txt": "slip"}
    with pytest.raises(ArgsInvalid) as refused:
        await client.enqueue_many(jobs)
    assert refused.value.accepted == 10_000
    jobs[-1].args = good
    assert await client.enqueue_many(jobs) == [job.id for job in jobs]


async def test_a_flow_runs_in_its_order(client: AsyncClient, working: None) -> None:
    flow = await client.flow(
        {"a": NewJob("note", {"text": "a"}), "b": NewJob("note", {"text": "b"}, after=["a"])},
        name="letters",
        on_end={"kind": "note", "args": {"text": "end"}},
    )
    first, last = [await client.wait(flow.jobs[name], timeout=LONG_S) for name in "ab"]
    assert (last.after, last.flow) == ([first.id], flow.id)
    assert first.finished_at
    assert last.started_at
    assert first.finished_at <= last.started_at


async def test_waiting_ends_in_time_and_says_so(client: AsyncClient) -> None:
    job = await client.enqueue("note", {"text": "x"})
    began = time.monotonic()
    with pytest.raises(WaitTimedOut, match=rf"{job.id} has not ended within 0.5 s; it is queued"):
        await client.wait(job, timeout=timedelta(seconds=0.5))
    assert time.monotonic() - began < 5


async def test_however_many_wait_others_are_served(client: AsyncClient) -> None:
    job = await client.enqueue("note", {"text": "x"}, delay=3600)
    waits = [asyncio.create_task(client.wait(job)) for _ in range(120)]
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(client.enqueue("note", {"text": "y"}), 5)).state == "queued"
    await client.cancel(job)
    assert {done.state for done in await asyncio.gather(*waits)} == {"cancelled"}


async def test_lists_filter_by_all_that_the_service_knows(client: AsyncClient, working: None) -> None:
    late = await client.enqueue("note", {"text": "7"}, delay=3600, tags=["t"], metadata={"tenant": "a"})
    early = await client.wait(await client.enqueue("note", {"text": "b"}), timeout=LONG_S)
    assert late.created_at

    async def found(**filters: object) -> set[str]:
        return {job.id async for job in client.list(**filters)}  # type: ignore[arg-type]

    assert await found(state="scheduled") == await found(tag="t") == await found(args={"text": "7"}) == {late.id}
    assert await found(metadata={"tenant": "a"}) == await found(q="7", kind=["note"]) == {late.id}
    assert await found(state=["scheduled", "succeeded"], kind=["note", "hold"]) == {late.id, early.id}
    assert await found(created_after=late.created_at + timedelta(milliseconds=1), args={"times": 1}) == {early.id}
    with pytest.raises(Problem, match="sttate"):
        await found(sttate="failed")


async def test_waiting_jobs_are_changed_run_and_cancelled(client: AsyncClient) -> None:
    job = await client.enqueue("note", {"text": "x"}, delay=3600, priority=2)
    changed = await client.change(job, priority=5, args={"text": "y"}, timeout=timedelta(seconds=9), lane=None)
    assert (changed.priority, changed.args["text"], changed.state) == (5, "y", "scheduled")
    assert (await client.run_now(job)).state == "queued"
    assert (await client.cancel(job.id)).state == "cancelled"
    with pytest.raises(StateForbids):
        await client.change(job, priority=1)
    with pytest.raises(StateForbids):
        await client.cancel(job)


async def test_failed_jobs_are_replayed_one_by_one_and_all_together(client: AsyncClient, working: None) -> None:
    jobs = [await client.enqueue("fail", {"message": "no"}) for _ in range(3)]
    failed = [await client.wait(job, timeout=LONG_S) for job in jobs]
    assert {(job.state, job.error and job.error.message) for job in failed} == {("failed", "no")}
    replayed = await client.replay(jobs[0], start="start")
    assert replayed.id == jobs[0].id
    assert (await client.wait(replayed, timeout=LONG_S)).attempt == 2
    rehearsed = await client.replay_many(kind="fail", dry_run=True)
    assert (rehearsed.matched, rehearsed.replayed, rehearsed.dry_run) == (3, 3, True)
    done = await client.replay_many(kind="fail", state=["failed"])
    assert (done.matched, done.replayed, done.skipped) == (3, 3, {})


async def test_events_tell_each_change_until_the_end(client: AsyncClient, working: None) -> None:
    job = await client.enqueue("hold", {"seconds": 0.2}, delay=0.5)
    events = [event async for event in client.events(job)]
    assert [event.state for event in events if isinstance(event, StateEvent)][-2:] == ["running", "succeeded"]
    assert [(event.done, event.total) for event in events if isinstance(event, ProgressEvent)] == [(1, 2)]
    assert [event async for event in client.events(job)][-1] == events[-1]


async def test_a_running_job_is_cancelled(client: AsyncClient, working: None) -> None:
    job = await client.enqueue("hold", {"seconds": LONG_S})

    async def runs() -> bool:
        return (await client.get(job)).state == "running"

    await eventually(runs)
    await client.cancel(job)
    assert (await client.wait(job, timeout=LONG_S)).state == "cancelled"


def test_one_client_serves_several_loops_and_needs_no_closing() -> None:
    client = AsyncClient("http://127.0.0.1:9", retry_for=0)

    async def fails() -> str:
        with pytest.raises(ConnectionError) as error:
            await client.get("x")
        return str(error.value)

    assert all("http://127.0.0.1:9" in asyncio.run(fails()) for _ in range(2))
