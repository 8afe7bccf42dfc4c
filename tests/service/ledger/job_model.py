"""What the ledger should say about jobs and their lanes, as a model in plain Python."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import hypothesis.strategies as st

from service.ledger.models import Finish, NewJob
from service.ledger.states import COUNTS_AS_FAILURE, LIVE, WAITING, Outcome, State

# The lane whose order is strict; another one is not.
STRICT = "strict"
lanes_of_job = st.sampled_from(
    [(None, None), (None, None), (STRICT, None), (None, STRICT), ("open", STRICT), ("open", None)]
)
# Under which of the epochs of lanes a claim was made; None: past lanes.
CURRENT, BEFORE = -1, -2
epochs = st.sampled_from([CURRENT, CURRENT, BEFORE, None])


@dataclass
class Model:
    """What the ledger should say about one job; `seq` is its place in the order of its lanes."""

    new: NewJob
    run_at: datetime
    seq: int
    state: State = State.QUEUED
    failures: int = 0
    crashes: int = 0
    worker: str | None = None
    cancelling: bool = False
    expires_at: datetime | None = None
    outcomes: list[Outcome | None] = field(default_factory=list)
    last_finish: Finish | None = None

    @property
    def attempt(self) -> int:
        return len(self.outcomes)

    @property
    def is_strict(self) -> bool:
        return STRICT in self.new.lanes

    def is_due(self, now: datetime, due_by: datetime) -> bool:
        in_time = self.run_at <= due_by and (self.expires_at is None or self.expires_at > now)
        return self.state in WAITING and in_time

    def close(self, outcome: Outcome, state: State) -> None:
        self.failures += outcome in COUNTS_AS_FAILURE
        self.crashes += outcome is Outcome.CRASHED
        self.state = State.CANCELLED if self.cancelling else state
        self.outcomes[-1] = Outcome.CANCELLED if self.cancelling else outcome

    def begin(self, worker: str) -> None:
        self.state, self.worker, self.expires_at = State.RUNNING, worker, None
        self.outcomes.append(None)


def is_in_turn(model: Model, models: Sequence[Model]) -> bool:
    """Whether no strict lane of a job has an earlier live one."""
    return not model.is_strict or not any(other.seq < model.seq for other in strict_ones(models))


def strict_ones(models: Sequence[Model]) -> list[Model]:
    """Return the live jobs of the strict lane, in their order."""
    return sorted((one for one in models if one.is_strict and one.state in LIVE), key=lambda one: one.seq)
