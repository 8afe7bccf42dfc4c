"""What a worker has room for when it claims, and what a claim had to leave for lack of room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Left:
    """What a claim left although it may be due, and for which an idle worker need not come back.

    `names` are lanes and kinds (`kind:<name>`) whose shares of this worker are full, and paused `queue:<name>`.
    """

    all_laneless: bool = False
    all_lanes: bool = False
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Room:
    """How much a worker takes: `laneless` ids, and ids `in_lanes`, which get their slots at once.

    Both together are at most the greater of the two. The worker runs at most `lane_share` jobs of a destination's lane
    without a limit of its own, and `kind_share` of a kind; `held` is how many it has by lane and by `kind:<name>`.
    `paused` names the `queue:<name>` and `kind:<name>` paused in SQL, which count while Redis cannot tell.
    """

    laneless: int
    in_lanes: int = 0
    lane_share: int = _ALL
    kind_share: int = _ALL
    held: Mapping[str, int] = field(default_factory=dict)
    paused: Sequence[str] = ()

    @property
    def has_full_kind(self) -> bool:
        """Whether the worker has as many jobs of a kind as it may."""
        return bool(self.full_kinds)

    @property
    def full_kinds(self) -> list[str]:
        """The kinds of which the worker has as many jobs as it may."""
        kinds = ((name.removeprefix("kind:"), held) for name, held in self.held.items() if name.startswith("kind:"))
        return [name for name, held in kinds if held >= self.kind_share]

    def holds_some_of(self, left: Left) -> bool:
        """Whether there is room for some of what a claim left. Paused queues do not wait for room."""
        shares = {name: self.kind_share if name.startswith("kind:") else self.lane_share for name in left.names}
        return (
            (left.all_laneless and self.laneless > 0)
            or (left.all_lanes and self.in_lanes > 0)
            or any(self.held.get(name, 0) < share for name, share in shares.items() if not name.startswith("queue:"))
        )


NOTHING = Left()
