import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import uuid_utils
from sqlalchemy import func, select

from service.errors import Conflict, IdTaken, UniqueKeyRunning, UniqueKeyTaken
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Enqueued, IdempotencyKey, NewJob
from service.ledger.reads.listing import Filter, list_jobs
from service.ledger.states import Outcome, State
from service.tables import job_tags, jobs, tallies
from tests.service.ledger.makers import (
    NOW,
    enqueue,
    finish,
    job_row,
    live_worker,
    new_job,
    start,
)

LATER = NOW + timedelta(minutes=5)


def sent(body: str = "a", job_id: str | None = None, **fields: Any) -> NewJob:
    """Make a job whose id its client made."""
    return new_job(id=job_id or str(uuid_utils.uuid7()), request_hash=body, **fields)


async def count(ledger: Ledger) -> tuple[int, int]:
    """Count the jobs, and the ones counted as enqueued."""
    async with ledger.read() as connection:
        rows = (await connection.execute(select(func.count()).select_from(jobs))).scalar_one()
        told = select(func.coalesce(func.sum(tallies.c.count), 0)).where(tallies.c.event == "enqueued")
        return rows, (await connection.execute(told)).scalar_one()


async def tried(ledger: Ledger, *some: NewJob) -> Enqueued | type[Conflict]:
    try:
        enqueued: Enqueued = await enqueue(ledger, *some)
    except Conflict as error:
        return type(error)
    return enqueued


async def running(ledger: Ledger, job: NewJob) -> Any:
    await live_worker(ledger)
    started = await start(ledger, job.id)
    assert started is not None
    return started


async def test_the_same_id_and_request_are_the_same_job_whatever_has_become_of_it(ledger: Ledger) -> None:
    job = sent(tags=("t",))
    assert (await enqueue(ledger, job)).created == {job.id}
    for act in ("waits", "runs", "over"):
        again = await enqueue(ledger, replace(job, args='{"derived":"later"}', created_at=LATER))
        assert (again.ids, again.created) == ((job.id,), frozenset()), act
        if act == "waits":
            started = await running(ledger, job)
        elif act == "runs":
            await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    assert (await job_row(ledger, job.id))["args"] == "{}"
    assert await count(ledger) == (1, 1)


async def test_the_same_id_with_another_request_is_refused_and_nothing_of_it_is_recorded(ledger: Ledger) -> None:
    job, own = sent("a"), new_job()
    await enqueue(ledger, job, own)
    other, beside = sent("b", job.id), new_job()
    with pytest.raises(IdTaken, match=job.id):
        await enqueue(ledger, beside, other)
    with pytest.raises(IdTaken):
        await enqueue(ledger, sent("x", own.id))  # an id that Postlude made
    assert await count(ledger) == (2, 2)


async def test_a_refused_request_takes_no_idempotency_key_and_one_that_was_recorded_keeps_its_answer(
    ledger: Ledger,
) -> None:
    job = sent("a")
    key = IdempotencyKey("k", "f", "answer", NOW, NOW + timedelta(days=1))
    other = replace(key, key="other")
    await enqueue(ledger, job, key=key)
    for _ in range(2):
        with pytest.raises(IdTaken):
            await enqueue(ledger, sent("b", job.id), key=other)
    assert (await enqueue(ledger, new_job(), key=other)).held is None
    held = (await enqueue(ledger, sent("b", job.id), key=key)).held
    assert held is not None
    assert held.answer == "answer"


async def test_of_the_same_id_sent_many_times_at_once_one_is_recorded(ledger: Ledger) -> None:
    for _ in range(20):
        job_id = str(uuid_utils.uuid7())
        same = [Enqueue((sent("a", job_id, tags=("t",)), new_job()), "test") for _ in range(5)]
        others = [Enqueue((sent("b", job_id),), "test") for _ in range(3)]
        writes = [ledger.enqueue(one) for one in same] + [_apart(ledger, one) for one in others]
        done = await asyncio.gather(*writes, return_exceptions=True)
        kept = [one for one in done if isinstance(one, Enqueued)]
        winner = (await job_row(ledger, job_id))["request_hash"]
        assert len(kept) == (5 if winner == "a" else 3)
        assert all(isinstance(one, IdTaken) for one in done if not isinstance(one, Enqueued)), done
        assert sum(job_id in one.created for one in kept) >= 1
    async with ledger.read() as connection:
        twice = select(job_tags.c.job_id).group_by(job_tags.c.job_id).having(func.count() > 1)
        assert (await connection.execute(twice)).all() == []
    rows, told = await count(ledger)
    assert rows == told


async def _apart(ledger: Ledger, request: Enqueue) -> Enqueued:
    """Enqueue by another ledger of the same database, as another process does."""
    other = Ledger(ledger.database, retention=ledger.retention)
    return await other.enqueue(request)


async def test_in_a_batch_an_id_counts_once(ledger: Ledger) -> None:
    job, other = sent("a"), new_job()
    enqueued = await enqueue(ledger, job, other, replace(job))
    assert enqueued.ids == (job.id, other.id, job.id)
    assert enqueued.created == {job.id, other.id}
    with pytest.raises(IdTaken):
        await enqueue(ledger, sent("a", "x"), sent("b", "x"))
    again = await enqueue(ledger, replace(job), new_job(), sent("c"))
    assert again.ids[0] == job.id
    assert len(again.created) == 2
    assert await count(ledger) == (4, 4)


async def listed(ledger: Ledger, **wanted: Any) -> list[str]:
    async with ledger.read() as connection:
        return [row["id"] for row in await list_jobs(connection, Filter(**wanted), 100)]


@pytest.mark.parametrize("on_conflict", ["replace", "debounce"])
async def test_a_waiting_holder_takes_all_that_the_request_says_and_its_time_only_to_debounce(
    ledger: Ledger, on_conflict: Any
) -> None:
    first = new_job(unique_key="k", tags=("old",), state=State.SCHEDULED, run_at=NOW + timedelta(seconds=9))
    await enqueue(ledger, first)
    new = new_job(
        unique_key="k",
        on_conflict=on_conflict,
        args='{"n":2}',
        sealed_args='{"n":"2"}',
        priority=3,
        queue="slow",
        max_attempts=9,
        timeout_s=2.5,
        tags=("new",),
        metadata='{"m":1}',
        lane="l",
        retry='{"base":1.0,"max_duration":60.0}',
        unique_for=5.0,
        run_at=LATER,
        state=State.SCHEDULED,
        expires_at=LATER + timedelta(days=1),
    )
    enqueued = await enqueue(ledger, new)
    assert (enqueued.ids, enqueued.created) == ((first.id,), frozenset())
    row = await job_row(ledger, first.id)
    names = ("args", "priority", "queue", "max_attempts", "timeout_s", "metadata", "lane", "retry", "unique_for")
    assert {name: row[name] for name in names} == {name: getattr(new, name) for name in names}
    assert row["run_at"] == (LATER if on_conflict == "debounce" else first.run_at)
    assert row["expires_at"] == (new.expires_at if on_conflict == "debounce" else None)
    assert row["retry_until"] == row["run_at"] + timedelta(seconds=60)
    assert (await listed(ledger, tag="old"), await listed(ledger, tag="new")) == ([], [first.id])
    [changed] = enqueued.changed
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.before.queue, changed.after.queue, changed.after.lanes) == ("default", "slow", ("l",))
    assert await count(ledger) == (1, 1)


async def test_a_holder_that_runs_is_not_changed_and_nothing_of_the_request_is_recorded(ledger: Ledger) -> None:
    first = new_job(unique_key="k")
    await enqueue(ledger, first)
    started = await running(ledger, first)
    for on_conflict in ("replace", "debounce"):
        with pytest.raises(UniqueKeyRunning, match=first.id):
            await enqueue(ledger, new_job(), new_job(unique_key="k", on_conflict=on_conflict))
    assert (await enqueue(ledger, new_job(unique_key="k"))).ids == (first.id,)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    assert (await enqueue(ledger, new_job(unique_key="k", on_conflict="replace"))).created
    assert await count(ledger) == (2, 2)


async def test_a_holder_of_another_kind_is_not_replaced(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(unique_key="k"))
    with pytest.raises(UniqueKeyTaken, match="of the kind greet"):
        await enqueue(ledger, new_job(unique_key="k", kind="other", on_conflict="replace"))


async def test_the_latest_of_several_requests_counts_in_a_group_and_in_a_batch(ledger: Ledger) -> None:
    def new(n: int, **fields: Any) -> NewJob:
        return new_job(unique_key="k", on_conflict="debounce", args=f'{{"n":{n}}}', run_at=NOW, **fields)

    enqueued = await enqueue(ledger, new(1), new(2), new(3))
    assert len(set(enqueued.ids)) == 1
    [job_id] = enqueued.created
    assert (await job_row(ledger, job_id))["args"] == '{"n":3}'
    done = await asyncio.gather(*(ledger.enqueue(Enqueue((new(n),), "test")) for n in range(10, 60)))
    assert {one.ids for one in done} == {(job_id,)}
    assert (await job_row(ledger, job_id))["args"] == '{"n":59}'
    assert await count(ledger) == (1, 1)


async def test_a_request_that_replaces_races_with_starts_and_is_never_lost_silently(ledger: Ledger) -> None:
    """The attempt has what the request said, or the request was refused as too late."""
    await live_worker(ledger)
    ends = {"replaced": 0, "too late": 0}
    for turn in range(150):
        first = new_job(unique_key=f"k{turn}", args='{"v":"old"}')
        await enqueue(ledger, first)
        new = new_job(unique_key=f"k{turn}", on_conflict="replace", args='{"v":"new"}')
        both: list[Any] = [tried(Ledger(ledger.database, retention=ledger.retention), new), start(ledger, first.id)]
        told, started = await asyncio.gather(*both) if turn % 2 else reversed(await asyncio.gather(*reversed(both)))
        assert started is not None
        if isinstance(told, Enqueued):
            assert told.ids == (first.id,)
            assert started.args == '{"v":"new"}'
            ends["replaced"] += 1
        else:
            assert told is UniqueKeyRunning
            assert started.args == '{"v":"old"}'
            ends["too late"] += 1
    assert sum(ends.values()) == 150
    assert await count(ledger) == (150, 150)


async def end(ledger: Ledger, job: NewJob, at: datetime) -> None:
    started = await running(ledger, job)
    done = finish(started, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=at)
    assert await ledger.finish(done) is not None


async def test_a_key_is_held_beyond_the_end_for_as_long_as_its_job_said(ledger: Ledger) -> None:
    first = new_job(unique_key="k", unique_for=60.0)
    await enqueue(ledger, first)
    await end(ledger, first, NOW)

    async def again(seconds: float, **fields: Any) -> Enqueued:
        at = NOW + timedelta(seconds=seconds)
        fields = {"unique_key": "k", "created_at": at, "run_at": at} | fields
        enqueued: Enqueued = await enqueue(ledger, new_job(**fields))
        return enqueued

    for seconds in (0, 59.9):
        held = await again(seconds, unique_for=1.0)
        assert (held.ids, held.created) == ((first.id,), frozenset())
    assert (await again(59.9, unique_for=1.0, on_conflict="replace")).ids == (first.id,)
    assert (await again(59.9, unique_key="other", unique_for=1.0)).created
    second = await again(60, unique_for=1.0)
    assert second.created
    assert (await again(60.5, unique_for=9.0)).ids == second.ids
    [job_id] = second.created
    await ledger.cancel(job_id, "test", NOW + timedelta(seconds=61))
    assert (await again(61.9, unique_for=9.0)).ids == second.ids
    assert (await again(61.9)).created  # it does not ask who was there before


async def test_each_of_many_keys_is_held_beyond_the_end(ledger: Ledger) -> None:
    firsts = [new_job(unique_key=f"k{number}", unique_for=60.0) for number in range(3)]
    for seconds, first in enumerate(firsts):
        await enqueue(ledger, first)
        await end(ledger, first, NOW + timedelta(seconds=seconds))
    again = [new_job(unique_key=first.unique_key, unique_for=60.0) for first in firsts]
    enqueued = await enqueue(ledger, *again)
    assert (enqueued.ids, enqueued.created) == (tuple(first.id for first in firsts), frozenset())


async def test_a_live_holder_comes_before_one_that_has_ended(ledger: Ledger) -> None:
    first = new_job(unique_key="k", unique_for=600.0)
    await enqueue(ledger, first)
    await end(ledger, first, NOW)
    live = new_job(unique_key="k")
    await enqueue(ledger, live)
    assert (await enqueue(ledger, new_job(unique_key="k", unique_for=1.0))).ids == (live.id,)


async def test_unique_for_races_with_the_end_of_the_holder(ledger: Ledger) -> None:
    """Whichever is first, there is one job for the key, because the holder holds it before its end and afterwards."""
    for turn in range(100):
        first = new_job(unique_key=f"k{turn}", unique_for=600.0)
        await enqueue(ledger, first)
        started = await running(ledger, first)
        other = Ledger(ledger.database, retention=ledger.retention)
        new = [Enqueue((new_job(unique_key=f"k{turn}", unique_for=600.0),), "test") for _ in range(2)]
        ending = ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
        _, *told = await asyncio.gather(ending, other.enqueue(new[0]), ledger.enqueue(new[1]))
        assert {one.ids for one in told} == {(first.id,)}
    assert await count(ledger) == (100, 100)


async def test_all_of_it_together_in_one_request(ledger: Ledger) -> None:
    waits, over = new_job(unique_key="w"), new_job(unique_key="o", unique_for=600.0)
    known = sent("a")
    await enqueue(ledger, waits, over, known)
    await end(ledger, over, NOW)
    some: Sequence[NewJob] = (
        replace(known),
        new_job(unique_key="w", on_conflict="replace", priority=5),
        new_job(unique_key="o", unique_for=1.0),
        sent("b", unique_key="w"),
        new_job(),
        new_job(unique_key="w"),
    )
    enqueued = await enqueue(ledger, *some)
    assert enqueued.ids == (known.id, waits.id, over.id, waits.id, some[4].id, waits.id)
    assert enqueued.created == {some[4].id}
    assert (await job_row(ledger, waits.id))["priority"] == 5
