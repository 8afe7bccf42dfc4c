"""What a claim has room for: no destination and no kind gets all of a worker, and a fast kind loses nothing."""

from datetime import UTC, datetime

import pytest

from service.ledger.models import Started
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.shares import Shares, room_for, shares_of
from service.worker.workload import Workload

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NO_PROCESSES = ProcessRoom(frozenset(), 1)


def started(job_id: str, kind: str = "quick", lane: str | None = None, kind_lane: str | None = None) -> Started:
    return Started(
        job_id, kind, 1, 0, 0, 5, "{}", None, "default", None, NOW, "w-1", NOW, lane=lane, kind_lane=kind_lane
    )


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that ends in a test end in the same moment."""
    monkeypatch.setattr("service.worker.performing.lately.MOMENT_S", 3600.0)


class Desk:
    """A worker's attempts, by how many of a kind run."""

    def __init__(self, slots: int) -> None:
        self.workload = Workload("w-1")
        self.workload.slots.limit_to(slots)
        self._begun: list[Started] = []

    def begin(self, count: int, kind: str = "quick", lane: str | None = None, kind_lane: str | None = None) -> None:
        for number in range(count):
            one = started(f"{kind}-{lane}-{len(self._begun)}-{number}", kind, lane, kind_lane)
            self._begun.append(one)
            self.workload.begin(one, lambda _has_slot: None)

    def end(self, count: int) -> None:
        for _ in range(count):
            one = self._begun.pop(0)
            self.workload.end(one, has_slot=True)
            self.workload.leave_lanes(one)


@pytest.mark.parametrize(
    ("slots", "shares"),
    [(1, (1, 1)), (3, (1, 3)), (4, (1, 3)), (8, (2, 7)), (100, (25, 88)), (10_000, (2_500, 8_750))],
)
def test_share_of_a_destination_is_a_quarter_and_a_kind_leaves_an_eighth_to_others(
    slots: int, shares: tuple[int, int]
) -> None:
    assert shares_of(slots) == Shares(*shares)


async def test_claim_of_an_empty_worker_leaves_the_last_slots_to_another_kind() -> None:
    room = room_for(Desk(100).workload, (), NO_PROCESSES)
    assert room is not None
    assert (room.laneless, room.in_lanes, room.lane_share, room.kind_share) == (88, 88, 25, 88)


async def test_kind_that_has_its_share_is_told_apart_by_the_script() -> None:
    desk = Desk(100)
    desk.begin(80)
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert room.laneless == 8
    desk.begin(8)
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert (room.laneless, room.kind_share) == (12, 88)
    assert room.held == {"kind:quick": 88}


async def test_fast_kind_is_prefetched_on_top_of_its_share() -> None:
    desk = Desk(100)
    for _ in range(10):
        desk.begin(100)
        desk.end(100)
    desk.begin(100)
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert room.laneless == 1_000 - 12
    assert room.in_lanes == 1_000 - 12, "what waits here holds places in lanes, but for a moment only"


async def test_slow_kind_gets_no_larger_share_beside_a_fast_one() -> None:
    desk = Desk(100)
    for _ in range(10):
        desk.begin(10)
        desk.end(10)
    desk.begin(88, "slow")
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert room.laneless == 100 + 100 - 88, "the script leaves out the slow ones"
    assert room.held == {"kind:slow": 88, "kind:quick": -100}


async def test_jobs_in_lanes_get_no_more_than_the_slots_that_are_or_come_free() -> None:
    desk = Desk(100)
    desk.begin(30, "quick", lane="tenant:1", kind_lane="host:a")
    desk.begin(30, "slow", lane="tenant:1", kind_lane="host:a")
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert room.in_lanes == 40
    assert room.held == {"kind:quick": 30, "kind:slow": 30, "tenant:1": 60, "host:a": 60}
    desk.end(60)
    assert (room := room_for(desk.workload, (), NO_PROCESSES)) is not None
    assert room.held == {"kind:quick": -30, "kind:slow": -30}, "as many more may be prefetched"
    assert room.in_lanes == 118, "30 more of each kind ended within the last moment"


async def test_worker_without_a_slot_claims_nothing() -> None:
    desk = Desk(2)
    desk.begin(2)
    assert room_for(desk.workload, (), NO_PROCESSES) is None
