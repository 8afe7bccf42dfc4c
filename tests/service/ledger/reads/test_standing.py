"""The state of things at a glance: exact for small numbers, and never counted at length for large ones."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from service.ledger.ledger import Ledger
from service.ledger.reads import standing
from service.ledger.reads.standing import Counted, Deploy, InQueue
from service.ledger.states import State
from service.tables import workers
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.plans import plans_of, sent_by
from tests.support.writing import writing

HOUR = timedelta(hours=1)
STATES = (State.QUEUED, State.SCHEDULED, State.RETRYING)


async def test_states_are_counted_as_far_as_it_is_cheap(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MOST_COUNTED", 3)
    later = [new_job(state=State.SCHEDULED, run_at=NOW + HOUR) for _ in range(3)]
    await enqueue(ledger, *(new_job() for _ in range(4)), *later)
    async with ledger.read() as connection:
        counts = await standing.count_states(connection, STATES)
    assert counts == {State.QUEUED: Counted(3, more=True), State.SCHEDULED: Counted(3), State.RETRYING: Counted(0)}


async def test_queues_tell_what_is_due_and_what_runs(ledger: Ledger) -> None:
    old, runs = new_job(queue="mail", run_at=NOW - HOUR, created_at=NOW - HOUR), new_job(queue="bulk")
    await enqueue(ledger, old, new_job(queue="mail"), runs, new_job(state=State.SCHEDULED, run_at=NOW + HOUR))
    await live_worker(ledger)
    await start(ledger, runs.id)
    async with ledger.read() as connection:
        assert await standing.count_by_queue(connection) == {
            "mail": InQueue(waiting=2, running=0, oldest_at=NOW - HOUR),
            "bulk": InQueue(waiting=0, running=1),
        }


async def test_it_is_known_what_comes_due_next(ledger: Ledger) -> None:
    await enqueue(ledger, *(new_job(state=State.SCHEDULED, run_at=NOW + n * HOUR) for n in (3, 1, 2)), new_job())
    async with ledger.read() as connection:
        assert await standing.next_due(connection) == {State.SCHEDULED: NOW + HOUR}


async def test_what_was_ever_used_stays_so(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        assert not await standing.was_ever_used(connection)
    await enqueue(ledger, new_job())
    async with ledger.read() as connection:
        assert await standing.was_ever_used(connection)


async def test_a_deploy_is_the_first_worker_of_a_version(ledger: Ledger) -> None:
    began = [("2.0", 50), ("2.1", 30), ("2.1", 20), ("2.0", 10), ("2.2", 5), (None, 1)]
    rows = [
        {"id": f"w{minutes}", "hostname": f"host-{minutes}", "pid": 1, "queues": "default", "version": version}
        | dict.fromkeys(("started_at", "heartbeat_at", "beating_since"), NOW - timedelta(minutes=minutes))
        for version, minutes in began
    ]
    async with writing(ledger.database) as connection:
        await connection.execute(insert(workers), rows)
    async with ledger.read() as connection:
        deploys = await standing.deploys(connection, NOW - timedelta(minutes=40))
        later = await standing.deploys(connection, NOW - timedelta(minutes=10))
    assert deploys == [
        Deploy(NOW - timedelta(minutes=30), "2.1", "host-30"),
        Deploy(NOW - timedelta(minutes=5), "2.2", "host-5"),
    ]
    assert later == deploys[1:]


async def test_live_states_are_found_by_the_index_on_state(ledger: Ledger) -> None:
    for call in (lambda c, _: standing.count_states(c, STATES), lambda c, _: standing.count_by_queue(c)):
        plans = [
            plan
            for one in await sent_by(ledger.database, call)
            for plan in await plans_of(ledger.database, one, avoid_walks=True)
        ]
        assert any("jobs_by_state" in plan for plan in plans)
        assert not [plan for plan in plans if "Seq Scan on jobs" in plan or plan.startswith("SCAN jobs\n")]
