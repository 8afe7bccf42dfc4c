"""Operations in the ledger: each page counts once, however often it is written; what stops and revives them."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from service.ledger.ledger import Ledger
from service.ledger.operations import (
    Against,
    NewOperation,
    Operation,
    OperationState,
    Place,
)
from service.ledger.reads.operations import (
    aftermath_of,
    failed_again,
    failures_of,
    get_operation,
    list_operations,
    live_operations,
    orphans_among_operations,
)
from service.ledger.records.operations import (
    Page,
    record_begun,
    record_broken_off,
    record_counted,
    record_handed_over,
    record_let_go,
    record_operation,
    record_page,
    record_rate,
    record_stopped,
    record_taken_over,
)
from service.ledger.states import Outcome, State
from service.operation_tables import operation_members, operations
from service.tables import jobs
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, live_worker, new_job, start
from tests.support.writing import writing

FIRST, SECOND = Place(NOW, "b"), Place(NOW - timedelta(hours=1), "a")
HOUR = timedelta(hours=1)


async def accept(ledger: Ledger, *, with_job: bool = True, kind: str = "greet", **fields: Any) -> Operation:
    job = new_job(kind=kind) if with_job else None
    values: dict[str, Any] = {"id": "op", "action": "cancel", "filter": '{"tag":"t"}', "created_at": NOW} | fields
    new = NewOperation(**values, job_id=job.id if job else None)
    await ledger.database.run(partial(record_operation, new=new, job=job, writer="w"))
    return await found(ledger)


async def found(ledger: Ledger) -> Operation:
    async with ledger.read() as connection:
        operation = await get_operation(connection, "op")
    assert operation is not None
    return operation


async def counted(ledger: Ledger, matched: int) -> bool:
    return await ledger.database.run(partial(record_counted, operation_id="op", matched=matched, at=NOW, is_all=True))


class Changes:
    """Changes nothing, and counts how often it was asked to; fails on `against`."""

    def __init__(self, against: Mapping[str, Against] | None = None) -> None:
        self.calls = 0
        self._against = against or {}

    def __call__(self, connection: Connection) -> Mapping[str, Against]:
        self.calls += 1
        return self._against


async def turn(ledger: Ledger, changes: Changes, before: Place | None, after: Place, **fields: Any) -> Operation | None:
    values: dict[str, Any] = {"members": 3, "is_last": False, "against": {}} | fields
    values["members"] = [f"member-{number}" for number in range(values["members"])]
    page = Page("op", before, after, **values)
    return await ledger.database.run(partial(record_page, page=page, change=changes, at=NOW))


async def test_a_page_is_turned_once(ledger: Ledger) -> None:
    await accept(ledger)
    assert await counted(ledger, 6)
    changes = Changes()
    left = await turn(ledger, changes, None, FIRST)
    assert left is not None
    assert (left.done, left.cursor, left.state) == (3, FIRST, OperationState.RUNNING)
    assert await turn(ledger, changes, None, FIRST) is None  # somebody who was frozen
    assert await turn(ledger, changes, SECOND, FIRST) is None
    over = await turn(ledger, changes, FIRST, SECOND, is_last=True)
    assert over is not None
    assert (over.done, over.state, over.finished_at) == (6, OperationState.SUCCEEDED, NOW)
    assert await turn(ledger, changes, SECOND, SECOND) is None
    assert changes.calls == 2


async def test_a_change_that_fails_leaves_the_cursor_where_it_was(ledger: Ledger) -> None:
    await accept(ledger)
    await counted(ledger, 3)

    def fails(connection: Connection) -> Mapping[str, Against]:
        connection.execute(update(jobs).values(priority=9))
        raise ZeroDivisionError

    page = Page("op", None, FIRST, is_last=True, members=("a", "b", "c"), against={})
    with pytest.raises(ZeroDivisionError):
        await ledger.database.run(partial(record_page, page=page, change=fails, at=NOW))
    operation = await found(ledger)
    assert (operation.done, operation.cursor, operation.state) == (0, None, OperationState.RUNNING)
    assert operation.job_id is not None
    assert (await job_row(ledger, operation.job_id))["priority"] == 0


async def test_failed_members_are_counted_by_reason_and_the_first_hundred_are_kept(ledger: Ledger) -> None:
    await accept(ledger)
    await counted(ledger, 240)
    place: Place | None = None
    for number in range(3):
        against = {f"{number}-{one}": Against("state_forbids" if one % 2 else "blocked", "no") for one in range(70)}
        before, place = place, Place(NOW - number * HOUR, "x")
        await turn(ledger, Changes(against), before, place, members=80, against={f"late-{number}": Against("late", "")})
    operation = await found(ledger)
    assert (operation.done, operation.failed) == (240 - 213, 213)
    assert operation.skipped == {"state_forbids": 105, "blocked": 105, "late": 3}
    async with ledger.read() as connection:
        assert len(await failures_of(connection, "op")) == 100


async def test_an_operation_is_recorded_once_with_its_job(ledger: Ledger) -> None:
    first = await accept(ledger)
    again = NewOperation("op", "delete", "{}", NOW, job_id=first.job_id)
    await ledger.database.run(partial(record_operation, new=again, job=None, writer="w"))
    assert (await found(ledger)).action == "cancel"
    async with ledger.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(jobs))).scalar_one() == 1
        assert [one.id for one in await list_operations(connection, None, 10)] == ["op"]


async def test_a_stop_cancels_the_job_and_only_its_replay_revives_the_operation(ledger: Ledger) -> None:
    operation = await accept(ledger)
    job_id = operation.job_id
    assert job_id is not None
    begin = partial(record_begun, operation_id="op", job_id=job_id)
    await live_worker(ledger)
    assert await start(ledger, job_id)
    stopped, _ = await ledger.database.run(partial(record_stopped, operation_id="op", writer="w", at=NOW))
    assert stopped is not None
    assert stopped.state is OperationState.STOPPED
    assert (await job_row(ledger, job_id))["cancel_requested_at"] == NOW
    # An attempt that had started just before does not revive it.
    asked = await ledger.database.run(begin)
    assert asked is not None
    assert (asked.state, (await found(ledger)).state) == (OperationState.STOPPED, OperationState.STOPPED)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(state="cancelled", finished_at=NOW))
    assert await ledger.replay(job_id, NOW)
    begun = await ledger.database.run(begin)
    assert begun is not None
    assert (begun.state, begun.finished_at) == (OperationState.COUNTING, None)
    assert await ledger.database.run(partial(record_begun, operation_id="op", job_id="another")) is None


async def test_a_dry_run_begins_anew_and_anything_else_goes_on(ledger: Ledger) -> None:
    operation = await accept(ledger, dry_run=True)
    assert operation.job_id is not None
    begin = partial(record_begun, operation_id="op", job_id=operation.job_id)
    for dry_run, expected in ((1, (0, None, OperationState.COUNTING)), (0, (3, FIRST, OperationState.RUNNING))):
        async with writing(ledger.database) as connection:
            await connection.execute(update(operations).values(dry_run=dry_run))
        await counted(ledger, 9)
        assert await turn(ledger, Changes(), None, FIRST)
        begun = await ledger.database.run(begin)
        assert begun is not None
        assert (begun.done, begun.cursor, begun.state) == expected


async def test_an_operation_without_a_job_has_one_runner_at_a_time_and_gets_one_job(ledger: Ledger) -> None:
    await accept(ledger, with_job=False, state=OperationState.RUNNING, runner_until=NOW + HOUR)
    take_over = partial(record_taken_over, operation_id="op", until=NOW + 3 * HOUR)
    hand_over = partial(record_handed_over, operation_id="op", writer="w")
    assert not await ledger.database.run(partial(take_over, at=NOW))
    assert not await ledger.database.run(partial(hand_over, at=NOW, job=new_job()))
    assert await orphans(ledger, NOW) == []
    assert await ledger.database.run(partial(take_over, at=NOW + 2 * HOUR))
    assert await ledger.database.run(partial(record_let_go, operation_id="op", at=NOW))
    assert await orphans(ledger, NOW) == [("op", None, None)]
    job = new_job()
    assert await ledger.database.run(partial(hand_over, at=NOW, job=job))
    assert not await ledger.database.run(partial(hand_over, at=NOW, job=new_job()))
    assert not await ledger.database.run(partial(take_over, at=NOW + HOUR))
    operation = await found(ledger)
    assert (operation.job_id, operation.state) == (job.id, OperationState.COUNTING)
    assert await orphans(ledger, NOW) == []


async def test_live_operations_whose_job_has_ended_or_is_gone_are_found(ledger: Ledger) -> None:
    operation = await accept(ledger)
    job_id = operation.job_id
    assert job_id is not None
    await live_worker(ledger)
    started = await start(ledger, job_id)
    assert started is not None
    assert await orphans(ledger, NOW) == []
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED))
    assert await orphans(ledger, NOW) == [("op", job_id, "failed")]
    broken_off = partial(record_broken_off, operation_id="op", state=OperationState.FAILED, error="why", at=NOW)
    assert await ledger.database.run(broken_off)
    assert not await ledger.database.run(broken_off)
    assert await orphans(ledger, NOW) == []
    assert (await found(ledger)).error == "why"


async def test_another_rate_holds_for_a_live_operation_and_its_pace_is_told_since_then(ledger: Ledger) -> None:
    await accept(ledger, rate=5.0)
    await counted(ledger, 6)
    assert await turn(ledger, Changes(), None, FIRST)
    changed = await ledger.database.run(partial(record_rate, operation_id="op", rate=50.0, at=NOW + HOUR))
    assert changed is not None
    assert (changed.rate, changed.paced_at, changed.paced_from) == (50.0, NOW + HOUR, 3)
    again = await ledger.database.run(partial(record_rate, operation_id="op", rate=50.0, at=NOW + 2 * HOUR))
    assert again == changed
    assert await turn(ledger, Changes(), FIRST, SECOND, is_last=True)
    over = await ledger.database.run(partial(record_rate, operation_id="op", rate=None, at=NOW + 2 * HOUR))
    assert over is not None
    assert (over.rate, over.state) == (50.0, OperationState.SUCCEEDED)
    assert await ledger.database.run(partial(record_rate, operation_id="none", rate=1.0, at=NOW)) is None


async def test_the_members_that_a_replay_let_run_are_kept_and_nobody_elses(ledger: Ledger) -> None:
    await accept(ledger, action="replay")
    await counted(ledger, 3)
    await turn(ledger, Changes({"member-1": Against("late", "")}), None, FIRST, is_last=True)
    async with ledger.read() as connection:
        kept = (await connection.execute(select(operation_members.c.job_id))).scalars().all()
    assert sorted(kept) == ["member-0", "member-2"]
    purged = await ledger.purge(timedelta(days=1), dry_run=False)
    assert (purged["operations"], purged["operation_members"]) == (1, 2)


async def test_what_became_of_a_replays_members_is_counted_and_those_that_failed_again_are_told(ledger: Ledger) -> None:
    await accept(ledger, action="replay")
    await counted(ledger, 4)
    made = [new_job(id=f"member-{number}") for number in range(4)]
    await enqueue(ledger, *made)
    await turn(ledger, Changes(), None, FIRST, members=4, is_last=True)
    async with writing(ledger.database) as connection:
        for job_id, state in (("member-0", "succeeded"), ("member-1", "failed"), ("member-2", "cancelled")):
            values = {"state": state, "error_message": "again", "finished_at": NOW}
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
    async with ledger.read() as connection:
        aftermath = await aftermath_of(connection, "op")
        again = await failed_again(connection, "op", 10)
        assert [one.id for one in await live_operations(connection, 5)] == []
    assert (aftermath.looked_at, aftermath.succeeded, aftermath.failed, aftermath.live) == (3, 1, 1, 1)
    assert aftermath.is_all
    assert [(one.id, one.error_message) for one in again] == [("member-1", "again")]


async def orphans(ledger: Ledger, at: Any) -> list[tuple[str, str | None, str | None]]:
    async with ledger.read() as connection:
        return [(one.id, one.job_id, one.job_state) for one in await orphans_among_operations(connection, at, 10)]


async def test_operations_past_their_retention_are_purged_with_their_failures(ledger: Ledger) -> None:
    await accept(ledger)
    await counted(ledger, 1)
    assert await turn(ledger, Changes({"m": Against("blocked", "no")}), None, FIRST, members=1, is_last=True)
    long = timedelta(days=36_500)
    assert (await ledger.purge(long, dry_run=False))["operations"] == 0
    for dry_run in (True, False):
        purged = await ledger.purge(timedelta(days=1), dry_run=dry_run)
        assert (purged["operations"], purged["operation_failures"]) == (1, 1)
    async with ledger.read() as connection:
        assert await get_operation(connection, "op") is None
        assert await failures_of(connection, "op") == []
