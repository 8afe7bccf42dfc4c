"""What has grown since a claim tells whether another one would find more."""

import pytest

from service.queue import Left, Room


def _room(laneless: int = 5, in_lanes: int = 5, **held: int) -> Room:
    return Room(
        laneless, in_lanes, lane_share=2, kind_share=4, held={name.replace("_", ":"): n for name, n in held.items()}
    )


@pytest.mark.parametrize(
    ("left", "room", "some"),
    [
        (Left(names=frozenset({"kind:greet"})), _room(kind_greet=4), False),
        (Left(names=frozenset({"kind:greet"})), _room(kind_greet=3), True),
        (Left(names=frozenset({"kind:greet", "host:a"})), _room(kind_greet=4, host_a=1), True),
        (Left(names=frozenset({"host:a"})), _room(host_a=2), False),
        (Left(names=frozenset({"queue:default"})), _room(), False),
        (Left(all_lanes=True), _room(in_lanes=0), False),
        (Left(all_lanes=True), _room(), True),
        (Left(all_laneless=True), _room(laneless=0), False),
        (Left(all_laneless=True), _room(), True),
    ],
)
def test_there_is_room_again_once_a_share_that_was_full_is_not(left: Left, room: Room, some: bool) -> None:
    assert room.holds_some_of(left) is some


def test_full_kinds_are_those_of_which_the_worker_has_its_share() -> None:
    room = _room(kind_greet=4, kind_wave=3, host_a=9)
    assert (room.full_kinds, room.has_full_kind) == (["greet"], True)
    assert not _room(kind_wave=3, host_a=9).has_full_kind
