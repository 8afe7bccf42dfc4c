"""Counts of what is many are estimates: near the truth, said to be so, and cheap however long the history is."""

import pytest

from service.ledger.database import Database
from service.ledger.reads import estimates
from service.ledger.reads.estimates import Count, count_by_state, count_matching, count_states_matching
from service.ledger.reads.listing import Filter
from service.ledger.states import State
from tests.support.plans import Call, plans_of, sent_by, walks


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


def counted(wanted: Filter) -> Call:
    return lambda connection, _now: count_matching(connection, wanted)


def counted_by_state(wanted: Filter) -> Call:
    return lambda connection, _now: count_states_matching(connection, wanted)


async def test_no_count_walks_through_the_history(history: Database) -> None:
    filters = Filter(), Filter(kinds=["k3"]), Filter(states=["failed"], tag="x"), Filter(lane="tenant:1")
    calls: list[Call] = [*map(counted, filters), lambda connection, _now: count_by_state(connection)]
    calls += map(counted_by_state, (*filters, Filter(error_types=["KeyError"]), Filter(queues=["default"], flow="f")))
    asked = [one for call in calls for one in await sent_by(history, call) if not one.sql.startswith("EXPLAIN")]
    plans = [(one.sql, plan) for one in asked for plan in await plans_of(history, one, avoid_walks=True)]
    assert plans
    assert [f"{sql}\n{plan}" for sql, plan in plans if walks(plan)] == []
