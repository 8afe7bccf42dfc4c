"""The data that lanes receive and return."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from service.lane_rules import BreakerState, Forced


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of an attempt says about its destination: whether it answers. `hold_s` opens the breaker at once."""

    alive: bool
    hold_s: float | None = None
    reason: str = ""


# For a job that was waiting: a worker that has claimed it meanwhile is refused, and lets go of it.
NO_CLAIM_MS = -1


class Release(NamedTuple):
    """A job that leaves its lanes' running sets: its finish is recorded, or it was not started.

    Only a claim that is not newer than `claim_ms` is ended: a worker that was frozen must not end a newer claim. None
    ends any. The verdict goes to the last of `lanes`. A job that goes on holds its strict lanes until `head_due`.
    """

    id: str
    lanes: tuple[str, ...]
    verdict: Verdict | None = None
    head_due: datetime | None = None
    claim_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A lane's breaker in its new state.

    An open breaker lets a probe through at `until`; it has opened `step` times in a row.
    """

    lane: str
    state: BreakerState
    until: datetime | None
    step: int
    reason: str | None


class Holder(NamedTuple):
    """A member of a lane's running set, claimed at `claim_ms` by Redis' clock; 0 after a rebuild."""

    lane: str
    id: str
    claim_ms: int


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane as Redis has it. `opens_at` is when it may start something; None: it is held until somebody opens it.

    `tokens` are the starts that its rate allows now; None without a rate. `is_shared`: it is a kind's lane, which takes
    a share of each worker's slots unless it has a `concurrency`.
    """

    running: int = 0
    waiting: int = 0
    concurrency: int | None = None
    rate: tuple[int, float] | None = None
    strict: bool = False
    is_shared: bool = False
    head: str | None = None
    opens_at: datetime | None = None
    tokens: float | None = None
    paused: bool = False
    paused_until: datetime | None = None
    breaker: BreakerState = "closed"
    breaker_forced: Forced | None = None
    breaker_until: datetime | None = None
    breaker_step: int = 0
    breaker_reason: str | None = None
    failures: int = 0

    @property
    def waits_for_rate(self) -> bool:
        """Whether only its rate keeps it from starting something."""
        is_open = not self.paused and self.breaker == "closed" and self.opens_at is not None
        return is_open and self.tokens is not None and self.tokens < 1
