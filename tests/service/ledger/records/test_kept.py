import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text

from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.records.kept import Checkpoint, Step, record_checkpoints, record_steps
from service.ledger.records.replayed import Replay, Replayed, record_replayed
from service.ledger.states import Outcome, State
from service.ledger.traits import Trait
from service.step_tables import job_checkpoints, job_steps
from tests.service.ledger.makers import NOW, finish, job_row, running, start
from tests.support.running import eventually
from tests.support.writing import writing


def step(started: Started, name: str, result: str = "1") -> Step:
    return Step(started.id, started.attempt, name, result, NOW, NOW + timedelta(seconds=1))


def checkpoint(started: Started, value: str) -> Checkpoint:
    return Checkpoint(started.id, started.attempt, value, NOW)


async def kept(ledger: Ledger, job_id: str) -> dict[str, Any]:
    async with ledger.read() as connection:
        rows = await connection.execute(select(job_steps).where(job_steps.c.job_id == job_id))
        return {row.name: (row.result, row.attempt) for row in rows}


async def place(ledger: Ledger, job_id: str) -> str | None:
    async with ledger.read() as connection:
        value: str | None = await connection.scalar(
            select(job_checkpoints.c.value).where(job_checkpoints.c.job_id == job_id)
        )
        return value


async def test_a_step_is_kept_and_its_job_is_marked(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.keep_step(step(started, "a", '{"x": 1}'))
    assert await kept(ledger, started.id) == {"a": ('{"x": 1}', 1)}
    assert (await job_row(ledger, started.id))["traits"] == Trait.STEPS


async def test_a_step_that_is_written_again_stays_as_it_was_and_is_held(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.keep_step(step(started, "a", "1"))
    assert await ledger.keep_step(step(started, "a", "2"))
    assert await kept(ledger, started.id) == {"a": ("1", 1)}


async def test_an_attempt_that_was_taken_away_keeps_nothing(ledger: Ledger) -> None:
    late = await running(ledger)
    await ledger.finish(finish(late, Outcome.CRASHED, State.QUEUED, crashes=1))
    assert not await ledger.keep_step(step(late, "a"))
    assert not await ledger.keep_checkpoint(checkpoint(late, "1"))
    now = await start(ledger, late.id)
    assert now is not None
    assert not await ledger.keep_step(step(late, "a"))
    assert not await ledger.keep_checkpoint(checkpoint(late, "1"))
    assert (await kept(ledger, late.id), await place(ledger, late.id)) == ({}, None)
    assert (await job_row(ledger, late.id))["traits"] == 0


async def test_one_group_keeps_what_is_held_and_refuses_the_rest(ledger: Ledger) -> None:
    held, late = await running(ledger), await running(ledger)
    await ledger.finish(finish(late, Outcome.CRASHED, State.QUEUED, crashes=1))
    steps = [step(held, "a"), step(late, "a"), step(held, "b"), step(late, "b")]
    assert await ledger._group_commit.write(record_steps, steps) == [True, False, True, False]
    assert set(await kept(ledger, held.id)) == {"a", "b"}


async def test_the_latest_checkpoint_wins_within_a_group_too(ledger: Ledger) -> None:
    started = await running(ledger)
    several = [checkpoint(started, str(value)) for value in range(3)]
    assert await ledger._group_commit.write(record_checkpoints, several) == [True] * 3
    assert await place(ledger, started.id) == "2"
    assert await ledger.keep_checkpoint(checkpoint(started, "7"))
    assert await place(ledger, started.id) == "7"


async def test_the_next_attempt_learns_from_its_start_that_something_was_kept(ledger: Ledger) -> None:
    started = await running(ledger)
    assert started.traits == 0
    await ledger.keep_checkpoint(checkpoint(started, "1"))
    await ledger.finish(finish(started, Outcome.CRASHED, State.QUEUED, crashes=1))
    again = await start(ledger, started.id)
    assert again is not None
    assert again.traits == Trait.STEPS


async def failed_with_steps(ledger: Ledger) -> Started:
    started = await running(ledger)
    await ledger.keep_step(step(started, "a"))
    await ledger.keep_checkpoint(checkpoint(started, "1"))
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED, failures=1))
    return started


async def test_a_replay_goes_on_with_what_was_kept(ledger: Ledger) -> None:
    started = await failed_with_steps(ledger)
    assert await ledger.replay(started.id, NOW)
    assert (set(await kept(ledger, started.id)), await place(ledger, started.id)) == ({"a"}, "1")
    again = await start(ledger, started.id)
    assert again is not None
    assert again.traits == Trait.STEPS


async def test_a_replay_from_the_start_has_forgotten_it_and_the_others_have_not(ledger: Ledger) -> None:
    started, other = await failed_with_steps(ledger), await failed_with_steps(ledger)
    replays = [Replay(started.id, NOW, from_start=True), Replay(other.id, NOW)]
    assert await ledger._group_commit.write(record_replayed, replays) == [Replayed.YES] * 2
    assert (await kept(ledger, started.id), await place(ledger, started.id)) == ({}, None)
    assert (set(await kept(ledger, other.id)), await place(ledger, other.id)) == ({"a"}, "1")
    again = await start(ledger, started.id)
    assert again is not None
    assert (again.traits, again.attempt) == (0, 2)


async def test_a_refused_replay_from_the_start_forgets_nothing(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.keep_step(step(started, "a"))
    assert not await ledger.replay(started.id, NOW, from_start=True)
    assert set(await kept(ledger, started.id)) == {"a"}


async def test_what_a_purged_job_has_kept_goes_with_it(ledger: Ledger) -> None:
    gone = await failed_with_steps(ledger)
    stays = await running(ledger)
    await ledger.keep_step(step(stays, "a"))
    await ledger.keep_checkpoint(checkpoint(stays, "2"))
    assert (await ledger.purge(timedelta(0), dry_run=False))["jobs"] == 1
    assert (await kept(ledger, gone.id), await place(ledger, gone.id)) == ({}, None)
    assert (set(await kept(ledger, stays.id)), await place(ledger, stays.id)) == ({"a"}, "2")


async def test_a_finish_waits_for_a_step_that_is_being_kept(ledger: Ledger) -> None:
    """Else the attempt after this one could begin without what this one has kept."""
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    started = await running(ledger)
    assert await ledger.keep_step(step(started, "before"))  # else the row is marked now, and thereby locked
    ended: list[Any] = []
    async with writing(ledger.database) as connection:
        assert await connection.run_sync(record_steps, [step(started, "a")]) == [True]
        ending = asyncio.create_task(ledger.finish(finish(started, Outcome.CRASHED, State.QUEUED, crashes=1)))
        ending.add_done_callback(lambda done: ended.append(done.result()))
        await _waits_for_a_lock(ledger)
        assert ended == []
    assert await ending is not None
    assert set(await kept(ledger, started.id)) == {"before", "a"}


async def _waits_for_a_lock(ledger: Ledger) -> None:
    async def check() -> bool:
        async with ledger.read() as connection:
            return bool(await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    await eventually(check)
