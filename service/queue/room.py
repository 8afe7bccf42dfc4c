"""What a worker has room for when it claims, and what a claim had to leave for want of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """How much a worker takes: `laneless` ids, and ids `in_lanes`, for slots that they get at once.

    Both together are at most the greater of the two. The worker runs at most `lane_share` jobs of a destination's lane
    without a limit of its own, and `kind_share` of a kind; `held` is what it has by lane and by `kind:<name>`.
    `paused` names the `queue:<name>` and `kind:<name>` paused by SQL, which count while Redis cannot tell.
    """

    laneless: int
    in_lanes: int = 0
    lane_share: int = _ALL
    kind_share: int = _ALL
    held: Mapping[str, int] = field(default_factory=dict)
    paused: Sequence[str] = ()

    @property
    def has_full_kind(self) -> bool:
        """Whether the worker has as much of a kind as it may."""
        return any(held >= self.kind_share for name, held in self.held.items() if name.startswith("kind:"))


@dataclass(frozen=True, slots=True)
class Left:
    """What a claim left although it may be due: an idle worker need not come back for it.

    `names` are lanes and `kind:<name>` whose shares of this worker are full, and `queue:<name>` that are paused.
    """

    all_laneless: bool = False
    all_lanes: bool = False
    names: frozenset[str] = frozenset()


NOTHING = Left()
