"""What goes into the ledger and what comes back, as plain data."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from service.lane_rules import in_order
from service.ledger.states import Outcome, State


@dataclass(slots=True)  # not frozen: that would take three times as long, and a batch makes 10,000
class NewJob:
    """A job as it is recorded first. Args, `trace_context`, `metadata` and `lane_limits` are JSON."""

    id: str
    kind: str
    state: State
    queue: str
    args: str
    run_at: datetime
    created_at: datetime
    max_attempts: int
    sealed_args: str | None = None
    priority: int = 0
    timeout_s: float | None = None
    expires_at: datetime | None = None
    unique_key: str | None = None
    arq_id: str | None = None
    tags: tuple[str, ...] = ()
    trace_context: str | None = None
    metadata: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    finished_at: datetime | None = None
    lane: str | None = None
    kind_lane: str | None = None
    lane_limits: str | None = None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request's own name, with the answer that a repetition gets until `expires_at`."""

    key: str
    fingerprint: str
    answer: str
    created_at: datetime
    expires_at: datetime


@dataclass(slots=True)  # not frozen, as NewJob
class Enqueue:
    """One request: all of its jobs are recorded, or none. `writer` names the process in the tallies."""

    jobs: tuple[NewJob, ...]
    writer: str
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class KeyHeld:
    """The idempotency key was used before: for what request, and what was answered (None: look at the job)."""

    fingerprint: str
    answer: str | None
    job_id: str


@dataclass(slots=True)  # not frozen, as NewJob
class Enqueued:
    """What became of an `Enqueue`: its jobs, the ids that stand for them in the same order, and which are new."""

    jobs: tuple[NewJob, ...] = ()
    ids: tuple[str, ...] = ()
    created: frozenset[str] = frozenset()
    held: KeyHeld | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """A worker's wish to begin an attempt of each of the jobs `ids`, if its kind is among `kinds`, and it is due.

    `due_by` is Redis' current time; it defaults to `at`. A job that has crashed `crashes_below` times or more is not
    started. `prefetched` attempts may have to wait for a slot: should the worker die, nobody will know which of them
    had begun. A job that was lost like that is not prefetched again.

    Jobs in lanes are started apart from others, with the `lanes_epoch` under which they were claimed: all are refused
    when lanes were rebuilt since. `strict` has (id, lane) for each lane in strict order: the job is not started while
    that lane has an earlier live one. After `until`, by this process's monotonic clock, none is started: by then their
    claims may have been taken for lost. Without an epoch a job in a lane is refused, unless `past_lanes`, which is for
    arq's own worker.
    """

    ids: tuple[str, ...]
    worker: str
    kinds: tuple[str, ...]
    at: datetime
    due_by: datetime | None = None
    crashes_below: int | None = None
    prefetched: bool = False
    lanes_epoch: str | None = None
    strict: tuple[tuple[str, str], ...] = ()
    until: float | None = None
    past_lanes: bool = False


class Started(NamedTuple):
    """An attempt that may now be performed, with all that performing it needs.

    Args, `trace_context`, `metadata` and `lane_limits` are JSON. An attempt that was not claimed from a lane has none;
    of one that was, `claimed_ms` is the time of its claim by Redis' clock.
    """

    id: str
    kind: str
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    args: str
    timeout_s: float | None
    queue: str
    arq_id: str | None
    created_at: datetime
    worker: str
    started_at: datetime
    trace_context: str | None = None
    metadata: str | None = None
    lane: str | None = None
    kind_lane: str | None = None
    lane_limits: str | None = None
    claimed_ms: int | None = None

    @property
    def in_lane(self) -> bool:
        return self.lane is not None or self.kind_lane is not None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed, as text."""

    type: str
    message: str
    traceback: str | None = None


class Finish(NamedTuple):
    """An attempt's end: its outcome, and the state that the job goes to.

    The last two are not recorded. They are for the job's lane: whether the destination was seen to answer, and for how
    long the kind wants the lane held.
    """

    id: str
    kind: str
    attempt: int
    worker: str
    outcome: Outcome
    state: State
    at: datetime
    failures: int = 0
    crashes: int = 0
    run_at: datetime | None = None
    result: str | None = None
    failure: Failure | None = None
    answered: bool | None = None
    hold_lane: timedelta | None = None


class Finished(NamedTuple):
    """A finish that took: the state may be `cancelled` where another was asked for."""

    state: State
    run_at: datetime
    queue: str
    priority: int = 0
