"""Counts of starts in lanes are written whole, as often as necessary, and none of them counts twice."""

from datetime import timedelta

import pytest

from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.reads.lane_figures import starts_in_lanes
from service.worker.performing import lane_starts
from service.worker.performing.lane_starts import LaneStarts
from tests.service.ledger.makers import NOW
from tests.support.set_clock import SetClock, set_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch, lane_starts)


async def known(ledger: Ledger) -> dict[str, int]:
    async with ledger.read() as connection:
        return await starts_in_lanes(connection, ["a", "b", "c"], NOW)


async def test_each_start_counts_once_in_each_of_its_lanes(ledger: Ledger, clock: SetClock) -> None:
    counted = LaneStarts(ledger, "w")
    for _ in range(3):
        counted.note(("a", "b"))
        counted.note(("a",))
        await counted.tell()
        await counted.tell()
        clock.at += timedelta(minutes=7)
    await counted.tell()
    assert await known(ledger) == {"a": 6, "b": 3}


async def test_what_could_not_be_told_is_told_later(
    ledger: Ledger, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = LaneStarts(ledger, "w")
    counted.note(("a",))

    async def away(_write: object) -> None:
        raise LedgerUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(ledger.database, "run", away)
        with pytest.raises(LedgerUnavailable):
            await counted.tell()
    clock.at += timedelta(minutes=7)
    counted.note(("a",))
    await counted.tell()
    assert await known(ledger) == {"a": 2}


async def test_lanes_beyond_the_most_are_not_told(
    ledger: Ledger, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_starts, "_MOST_LANES", 2)
    counted = LaneStarts(ledger, "w")
    for lane in ("a", "b", "c", "a"):
        counted.note((lane,))
    await counted.tell()
    assert await known(ledger) == {"a": 2, "b": 1}
