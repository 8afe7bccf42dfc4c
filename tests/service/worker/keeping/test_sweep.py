"""The sweep: who does it, in passes of which each is bounded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import event

from service.chore import EACH_PASS, ONCE, Chore
from service.ledger.leases import SWEEP_LEASE
from service.ledger.records.dispatched import record_dispatched
from service.worker.keeping.leadership import Leadership
from service.worker.keeping.sweep import Sweep
from tests.service.ledger.makers import engine_of, engines_of
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import forgotten, on_queue, rest, set_lease
from tests.support.writing import writing


async def test_while_one_leads_another_sweeps_nothing(desks: tuple[Desk, Desk], redis: Redis) -> None:
    leader, other = (desk.sweep_as() for desk in desks)
    await leader.sweep()
    job_id = await forgotten(desks[0])
    await other.sweep()
    assert await on_queue(redis) == set()
    await leader.sweep()
    assert await on_queue(redis) == {job_id}


async def test_a_leader_that_stops_in_order_is_followed_at_once(desks: tuple[Desk, Desk], redis: Redis) -> None:
    leader, other = (desk.sweep_as() for desk in desks)
    await leader.sweep()
    job_id = await forgotten(desks[0])
    await leader.release()
    await other.sweep()
    assert await on_queue(redis) == {job_id}


@pytest.mark.parametrize(
    "beyond_now", [timedelta(0), SWEEP_LEASE + timedelta(hours=1)], ids=["ran out", "clock set back"]
)
async def test_a_frozen_leader_is_replaced_and_sweeps_no_more(
    desks: tuple[Desk, Desk], redis: Redis, beyond_now: timedelta
) -> None:
    frozen, other = (desk.sweep_as() for desk in desks)
    await frozen.sweep()
    await set_lease(desks[0], datetime.now(UTC) + beyond_now)
    await other.sweep()
    await forgotten(desks[0])
    await frozen.sweep()
    assert await on_queue(redis) == set()


async def test_a_leader_that_was_frozen_in_the_middle_of_a_pass_does_no_harm(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk)
    before = await desk.queue.epoch()
    await redis.flushall()
    await desk.redispatch()
    async with writing(
        desk.ledger.database
    ) as connection:  # the frozen one goes on: it had put the job before the wipe
        await connection.run_sync(record_dispatched, [(job_id, 0)], before)
    await desk.redispatch()
    assert await redis.zcard("arq:queue") == 1
    assert (await desk.row(job_id))["dispatch_epoch"] == await desk.queue.epoch()


async def test_an_idle_pass_writes_nothing(desk: Desk) -> None:
    await desk.enqueue(rest, delay=timedelta(hours=1))
    sweeping = desk.sweep_as()
    await sweeping.sweep()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    for engine in engines_of(desk.ledger.database):
        event.listen(engine, "before_cursor_execute", note)
    if desk.ledger.database.dialect == "sqlite":  # over this engine nothing is read
        event.listen(engine_of(desk.ledger.database), "begin", lambda _: statements.append("BEGIN IMMEDIATE"))
    await sweeping.sweep()
    assert statements
    assert not [one for one in statements if one.startswith(("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE"))]


async def test_each_chore_runs_in_its_interval_and_most_only_under_the_leader(desks: tuple[Desk, Desk]) -> None:
    done: list[str] = []

    def noting(name: str, every_s: float, *, waits: bool = False) -> Chore:
        async def do() -> None:
            done.append(name)

        return Chore(name, every_s, do, waits)

    def sweep_of(desk: Desk) -> Sweep:
        return Sweep(
            Leadership(desk.ledger, desk.resources.process_id),
            of_each_worker=[noting("everyone", EACH_PASS), noting("once", ONCE)],
            of_the_leader=[
                noting("leader", EACH_PASS),
                noting("hourly", 3600.0),
                noting("in an hour", 3600.0, waits=True),
            ],
        )

    leader, other = map(sweep_of, desks)
    for _ in range(2):
        await leader.sweep()
    assert done == ["everyone", "once", "leader", "hourly", "everyone", "leader"]
    done.clear()
    for _ in range(2):
        await other.sweep()
    assert done == ["everyone", "once", "everyone"]


def test_chores_are_told_apart_by_their_names(desk: Desk) -> None:
    sweep = desk.sweep_as()
    names = [chore.name for chore in (*sweep.of_each_worker, *sweep.of_the_leader)]
    assert len(names) == len(set(names))
