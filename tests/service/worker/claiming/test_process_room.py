"""Kinds that run in processes take no more of a worker than it has children; the others do not notice them."""

from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.shares import room_for
from tests.service.worker.claiming.test_shares import NO_PROCESSES, Desk, one_moment  # noqa: F401 - a fixture

CROP, SCAN = "crop", "scan"


def test_worker_without_such_kinds_claims_as_ever() -> None:
    desk = Desk(100)
    desk.begin(3, "quick")
    assert room_for(desk.workload, (), NO_PROCESSES) == room_for(desk.workload, (), ProcessRoom(frozenset({CROP}), 100))


def test_children_are_shared_by_all_kinds_that_run_in_them() -> None:
    desk, room = Desk(100), ProcessRoom(frozenset({CROP, SCAN}), 4)
    desk.begin(1, CROP)
    desk.begin(2, SCAN)
    desk.begin(5, "quick")
    assert room.left(desk.workload) == 1
    claimed = room_for(desk.workload, (), room)
    assert claimed is not None
    left = {name: claimed.kind_share - held for name, held in claimed.held.items()}
    assert left == {f"kind:{CROP}": 1, f"kind:{SCAN}": 1, "kind:quick": 83}
    assert not claimed.has_full_kind


def test_claim_leaves_them_once_all_children_are_busy() -> None:
    desk, room = Desk(100), ProcessRoom(frozenset({CROP, SCAN}), 2)
    desk.begin(2, CROP)
    claimed = room_for(desk.workload, (), room)
    assert claimed is not None
    assert claimed.has_full_kind
    assert claimed.held[f"kind:{SCAN}"] == claimed.kind_share
    assert claimed.laneless == 86  # and takes as many of others as ever


async def test_as_many_as_ended_within_a_moment_are_prefetched_up_to_a_bound() -> None:
    desk, room = Desk(100), ProcessRoom(frozenset({CROP}), 2)
    desk.begin(2, CROP)
    desk.end(1)
    assert room.left(desk.workload) == 2  # one child is free, and another will be
    desk.begin(20, CROP)
    desk.end(20)
    assert room.left(desk.workload) == 4 * 2 - 1


async def test_prefetched_ones_are_started_together_once_half_of_them_have_begun() -> None:
    desk, room = Desk(100), ProcessRoom(frozenset({CROP}), 2)
    desk.begin(6, CROP)
    desk.end(6)
    desk.begin(8, CROP)
    desk.end(3)
    assert room.left(desk.workload) == 0
    desk.end(1)
    assert room.left(desk.workload) == 4
