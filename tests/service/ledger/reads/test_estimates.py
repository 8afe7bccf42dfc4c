"""Counts of what is many are estimates: near the truth, said to be so, and cheap however long the history is."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.reads import estimates
from service.ledger.reads.estimates import Count, count_by_state, count_matching, count_states_matching
from service.ledger.reads.listing import Filter
from service.ledger.reads.members import far_end
from service.ledger.states import State
from service.tables import jobs
from tests.support.plans import Call, plans_of, sent_by, walks

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def test_many_are_estimated_and_few_are_counted(history: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MOST_COUNTED", 900)
    async with history.connect() as connection:
        states = await count_by_state(connection)
        assert states[State.QUEUED] == Count(600)
        assert states[State.BLOCKED] == Count(0)
        assert states[State.SUCCEEDED].about
        assert states[State.SUCCEEDED].number == pytest.approx(16_000, rel=0.1)
        assert states[State.FAILED].number == pytest.approx(2_000, rel=0.4)
        of_kind = await count_matching(connection, Filter(kinds=["k3"]))
        assert of_kind.about
        assert of_kind.number == pytest.approx(2_110, rel=0.4)
        assert await count_matching(connection, Filter(kinds=["k1"], states=["queued"])) == Count(100)
        assert await count_matching(connection, Filter(kinds=["nobody's"])) == Count(0)
        few = await count_matching(connection, Filter(lane="tenant:1", states=["queued", "scheduled"]))
        assert not few.about
        of_lane = await count_states_matching(connection, Filter(lane="tenant:1"))
        queued = await count_matching(connection, Filter(lane="tenant:1", states=["queued"]))
        assert Count(of_lane[State.QUEUED] or 0) == queued
        assert None not in of_lane.values()
        by_state = await count_states_matching(connection, Filter(kinds=["k1"], states=["failed"]))
        assert (by_state[State.BLOCKED], by_state[State.QUEUED]) == (0, 100)
        assert by_state[State.SUCCEEDED] is None, "there are too many jobs of that kind, and in that state"
        both = await count_matching(connection, Filter(states=["succeeded", "failed"], queues=["default"]))
        assert both.about
        assert both.number == pytest.approx(18_000, rel=0.1)


async def test_counters_are_whole_or_missing_however_many_ranges_are_read(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with history.connect() as connection:
        true = await of_states(connection, "k1", "k3")
        rare = await of_states(connection, "k1")
        most = sum(rare.values()) + 1
        monkeypatch.setattr(estimates, "_MOST_READ", most + 1)  # each kind is read to its end, not both
        monkeypatch.setattr(estimates, "MOST_COUNTED", most)
        both = await count_states_matching(connection, Filter(kinds=["k1", "k3"]))
        assert both == true | {State.SUCCEEDED: None}
        assert await count_states_matching(connection, Filter(kinds=["k1"])) == rare


async def of_states(connection: AsyncConnection, *kinds: str) -> dict[State, int]:
    of_kinds = or_(*(jobs.c.kind == kind for kind in kinds))
    found = select(jobs.c.state, func.count()).where(of_kinds).group_by(jobs.c.state)
    counts = {State(state): count for state, count in await connection.execute(found)}
    return {state: counts.get(state, 0) for state in State}


async def test_ended_jobs_are_not_walked_through_to_find_the_few_that_succeeded(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Filter(finished_after=EPOCH)
    succeeded = Filter(finished_after=EPOCH, states=["succeeded"])
    monkeypatch.setattr(estimates, "_MOST_READ", 17_000)  # 20,000 have ended, 16,000 of them succeeded
    async with history.connect() as connection:
        by_state = await count_states_matching(connection, ended)
        assert by_state[State.SUCCEEDED] is None
        assert by_state[State.QUEUED] == 0
        assert by_state[State.FAILED] == 2_000
        assert await far_end(connection, succeeded, 17_000) is not None
        assert (await count_matching(connection, succeeded)).about


async def test_states_are_not_looked_for_one_by_one_where_each_would_read_the_same_jobs(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "_MOST_READ", 3)
    wanted = Filter(error_types=["KeyError"])
    assert len(await sent_by(history, counted_by_state(wanted))) == 1
    async with history.connect() as connection:
        assert set((await count_states_matching(connection, wanted)).values()) == {None}


def counted(wanted: Filter) -> Call:
    return lambda connection, _now: count_matching(connection, wanted)


def counted_by_state(wanted: Filter) -> Call:
    return lambda connection, _now: count_states_matching(connection, wanted)


async def test_no_count_walks_through_the_history(history: Database) -> None:
    filters = (
        Filter(),
        Filter(kinds=["k3"]),
        Filter(states=["failed"], tag="x"),
        Filter(lane="tenant:1"),
        Filter(finished_after=EPOCH),
    )
    calls: list[Call] = [*map(counted, filters), lambda connection, _now: count_by_state(connection)]
    calls += map(counted_by_state, (*filters, Filter(error_types=["KeyError"]), Filter(queues=["default"], flow="f")))
    asked = [one for call in calls for one in await sent_by(history, call) if not one.sql.startswith("EXPLAIN")]
    plans = [(one.sql, plan) for one in asked for plan in await plans_of(history, one, avoid_walks=True)]
    assert plans
    assert [f"{sql}\n{plan}" for sql, plan in plans if walks(plan)] == []
