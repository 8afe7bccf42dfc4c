"""How much of a worker a destination and a kind may take, and therefore what a claim has room for."""

from typing import NamedTuple

from service.queue import Room
from service.worker.claiming.process_room import ProcessRoom
from service.worker.workload import Workload


class Shares(NamedTuple):
    """The most slots of a worker that go to one destination and to one kind."""

    of_a_lane: int
    of_a_kind: int


def shares_of(slots: int) -> Shares:
    """Leave slots free for others: a destination or a kind that hangs must not take all of a worker."""
    return Shares(max(1, slots // 4), slots - max(1, slots // 8) if slots >= 4 else slots)


def room_for(workload: Workload, paused: tuple[str, ...], processes: ProcessRoom) -> Room | None:
    """Return what the next claim may take; None if there is no room.

    Jobs in lanes get slots that are unused or come free within a moment, ahead of others: behind a stream of short
    attempts they would never find an unused slot. A claim that may take any kind takes no more than is left of the most
    frequent kind's share. Once nothing is left, the script looks at the kind of each id.
    """
    slots = workload.slots
    room = slots.room
    if not room:
        return None
    shares = shares_of(slots.count)
    by_kind = workload.by_kind
    left = shares.of_a_kind - max(by_kind.values(), default=0)
    most = min(room, left) if left > 0 else room
    kinds = {f"kind:{kind}": count for kind, count in by_kind.items() if count}
    for name, held in processes.held(workload, shares.of_a_kind).items():
        kinds[name] = max(kinds.get(name, 0), held)
    return Room(
        laneless=most,
        in_lanes=max(0, min(most, slots.soon)),
        lane_share=shares.of_a_lane,
        kind_share=shares.of_a_kind,
        held={**kinds, **workload.by_lane},
        paused=paused,
    )
