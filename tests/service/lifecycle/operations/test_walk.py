"""A walk meets every member once, however few of the jobs that it looks at are members."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.ledger.ledger import Ledger
from service.ledger.operations import Place
from service.ledger.reads.listing import Filter
from service.ledger.reads.matching import path_is
from service.lifecycle.operations import walk as walking
from service.lifecycle.operations.walk import Walk
from tests.support.many_jobs import make_jobs

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
FILTERS: list[tuple[Filter, Callable[[dict[str, list[str]]], list[str]]]] = [
    (Filter(states=("failed",)), lambda ids: ids["failed"]),
    (Filter(states=("failed", "succeeded"), kinds=("rare",)), lambda ids: ids["rare"]),
    (Filter(kinds=("update_stats", "rare"), states=("failed",)), lambda ids: ids["failed"]),
    (Filter(tag="t", states=("succeeded",)), lambda ids: ids["rare"]),
    (Filter(finished_after=EPOCH, kinds=("rare",)), lambda ids: ids["rare"]),
    (Filter(finished_after=EPOCH, states=("failed", "succeeded")), lambda ids: ids["failed"] + ids["rare"]),
    (Filter(args=(path_is("rare", True),)), lambda ids: ids["rare"]),
    (Filter(text="RARE", states=("succeeded",)), lambda ids: ids["rare"]),
    (Filter(kinds=("none",)), lambda ids: []),
]


@pytest.fixture
async def ids(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    monkeypatch.setattr(walking, "LOOKED_AT", 20)
    old = await make_jobs(ledger, 7, state="succeeded", kind="rare", args='{"rare":true}', tags=["t"])
    failed = await make_jobs(ledger, 150, tags=["t"])
    new = await make_jobs(ledger, 4, state="succeeded", kind="rare", args='{"rare":true}', tags=["t"])
    return {"failed": failed, "rare": old + new}


@pytest.mark.parametrize("number", range(len(FILTERS)))
@pytest.mark.parametrize("limit", [3, 1_000])
async def test_each_member_is_met_once_and_counted_once(
    ledger: Ledger, ids: dict[str, list[str]], number: int, limit: int
) -> None:
    wanted, expected = FILTERS[number]
    walk, met, place, is_last = Walk(ledger, wanted), list[str](), None, False
    while not is_last:
        step = await walk.read(place, limit)
        met += [member.id for member in step.members]
        place, is_last = step.reached, step.is_last
    assert sorted(met) == sorted(expected(ids))
    assert await counted(Walk(ledger, wanted)) == len(met)


async def test_a_walk_may_begin_anywhere(ledger: Ledger, ids: dict[str, list[str]]) -> None:
    wanted = Filter(states=("failed",))
    first = await Walk(ledger, wanted).read(None, 3)
    rest = Walk(ledger, wanted)
    assert await counted(rest, first.reached) == 147
    beyond = await rest.read(first.reached, 3)
    assert [one.id for one in (*first.members, *beyond.members)] == ids["failed"][:-7:-1]
    assert (await rest.read(None, 3)).members == first.members


async def counted(walk: Walk, place: Place | None = None) -> int:
    """Count stretch by stretch."""
    total, (number, place) = 0, await walk.count(place)
    while place is not None:
        total += number
        number, place = await walk.count(place)
    return total + number
