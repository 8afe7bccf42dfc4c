"""What goes into the ledger and what comes back, as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from jobs.kit.results import Parent
from service.errors import Conflict
from service.lane_rules import counted_as, in_order
from service.ledger.changes import Changed
from service.ledger.failure import Failure as Failure
from service.ledger.states import Outcome, RunWhen, State
from service.options import OnConflict
from service.own_retry import OwnRetry

Event = Literal["success", "failure", "end"]


class Callback(NamedTuple):
    """What is enqueued when a job or a flow ends: the `template` of a job, as JSON; see `callbacks.py`."""

    event: Event
    template: str


@dataclass(slots=True)  # not frozen: that takes three times as long, and a batch makes 10,000
class NewJob:
    """A job as it is first recorded. Args, `trace_context`, `metadata`, `lane_limits` and `retry` are JSON.

    It may run once each of the jobs in `after` has come to what `run_when` asks. `request_hash` tells a repetition from
    another request if the client made the id. `flow_name` is its name in its flow. `enqueued_by` is the id of the
    principal who sent it. `files` are the ids of the files that its args name; None: its kind names no files. `traits`
    and `blocked_by` are set by the ledger, never by callers.
    """

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
    label: str | None = None
    after: tuple[str, ...] = ()
    run_when: RunWhen = "succeeded"
    callbacks: tuple[Callback, ...] = ()
    flow: str | None = None
    flow_name: str | None = None
    retry: str | None = None
    retry_until: datetime | None = None
    unique_for: float | None = None
    request_hash: str | None = None
    on_conflict: OnConflict = "return"
    enqueued_by: str | None = None
    files: tuple[str, ...] | None = None
    traits: int = 0
    blocked_by: int | None = None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)

    @property
    def counted_as(self) -> str:
        return self.label or self.kind


@dataclass(frozen=True, slots=True)
class NewFlow:
    """A flow as it is first recorded, with its jobs."""

    id: str
    created_at: datetime
    name: str | None = None
    callbacks: tuple[Callback, ...] = ()
    request_hash: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key, with the answer that a repeated request gets until `expires_at`.

    If other jobs stand for those of the request, or some come after others, `answer_for` writes the answer. Without it
    no answer is kept for a job that stands for another: it is looked up.
    """

    key: str
    fingerprint: str
    answer: str
    created_at: datetime
    expires_at: datetime
    answer_for: "Callable[[Enqueued], bytes] | None" = None


class Standing(NamedTuple):
    """A job that stands for a new one, as the transaction of the enqueue saw it."""

    kind: str
    state: State
    queue: str
    label: str


@dataclass(slots=True)  # not frozen, as NewJob
class Enqueue:
    """One request: all of its jobs are recorded, or none. `writer` names the process in the tallies.

    Parents come before their children.
    """

    jobs: tuple[NewJob, ...]
    writer: str
    key: IdempotencyKey | None = None
    flow: NewFlow | None = None


@dataclass(frozen=True, slots=True)
class KeyHeld:
    """An idempotency key that was used before: for which request, and with which answer (None: look at the job)."""

    fingerprint: str
    answer: str | None
    job_id: str


class Ended(NamedTuple):
    """An ended job or, if `state` is not terminal, an ended attempt of it; `traits` come from its row.

    `kind` is its label, or else its kind; `has_attempted` is explained in `states.edge_state`.
    """

    id: str
    kind: str
    state: State
    traits: int
    has_attempted: bool = True


class Released(NamedTuple):
    """A job that may run from now on: its parents are done, or it is a callback. The writer puts it on the queue."""

    id: str
    kind: str
    queue: str
    run_at: datetime
    priority: int = 0
    lane: str | None = None
    kind_lane: str | None = None
    lane_limits: str | None = None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)


class Followed(NamedTuple):
    """What followed from the ends of jobs: the released jobs, and whether followups are left to do after the commit."""

    released: tuple[Released, ...] = ()
    left: bool = False


NOTHING_FOLLOWED = Followed()


@dataclass(slots=True)  # not frozen, as NewJob
class Enqueued:
    """The result of an `Enqueue`: its jobs, the ids that stand for them in the same order, and which are new.

    Jobs that wait for others are `blocked`, and jobs whose parents have failed are `cancelled`. If `unknown` names jobs
    or flows that do not exist, or there is a `refusal`, nothing was recorded. Waiting jobs that took over a new job's
    fields, by its `on_conflict`, are in `changed`. `standing` has, by id, the jobs that stand for new ones.
    """

    jobs: tuple[NewJob, ...] = ()
    ids: tuple[str, ...] = ()
    created: frozenset[str] = frozenset()
    held: KeyHeld | None = None
    changed: tuple[Changed, ...] = ()
    refusal: Conflict | None = None
    unknown: tuple[str, ...] = ()
    followed: Followed = NOTHING_FOLLOWED
    standing: Mapping[str, Standing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """A worker's wish to begin an attempt of each of the jobs `ids` that is of one of its `kinds` and due.

    `due_by` is Redis' current time; it defaults to `at`. A job that has crashed `crashes_below` times or more is not
    started. `prefetched` attempts may have to wait for a slot: if the worker dies, nobody knows which of them had
    begun. A job that was lost like that is not prefetched again.

    Jobs in lanes are started separately, with the `lanes_epoch` under which they were claimed: all are refused if lanes
    have been rebuilt since. `strict` has (id, lane) for each lane in strict order: the job is not started while that
    lane has an earlier live job. After `until`, by this process's monotonic clock, none is started, because their
    claims may have been taken for lost by then. Without an epoch, a job in a lane is refused, unless `past_lanes` is
    set, for arq's own worker. A job that was moved since its claim is refused: `lanes` has (id, lanes) of each claim,
    and `queues` has the queues that the worker serves. Jobs that are `handed_over` were not claimed: each is started
    only if nothing pauses it, and comes with its parents. That happens in the transaction of a finish.
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
    lanes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    queues: tuple[str, ...] = ()
    handed_over: bool = False


class Started(NamedTuple):
    """An attempt that may now be performed, with everything needed for that.

    Args, `trace_context`, `metadata` and `lane_limits` are JSON; `traits` are bits, see `traits.py`. `claimed_ms` is
    the time of its claim by Redis' clock if it was claimed from a lane. `retry` and `retry_until` are read later, and
    only if `traits` say that the job has a policy of its own. It was due at `run_at` and, before an earlier attempt
    failed, at `due_since`. `parents` are the jobs that it came after, if they come with the start
    (`reads.particulars.few_parents_of`).
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
    run_at: datetime | None = None
    due_since: datetime | None = None
    trace_context: str | None = None
    metadata: str | None = None
    traits: int = 0
    lane: str | None = None
    kind_lane: str | None = None
    lane_limits: str | None = None
    retry: OwnRetry | None = None
    retry_until: datetime | None = None
    claimed_ms: int | None = None
    parents: tuple[Parent, ...] | None = None

    @property
    def in_lane(self) -> bool:
        return self.lane is not None or self.kind_lane is not None

    @property
    def lanes(self) -> tuple[str, ...]:
        return in_order(self.lane, self.kind_lane)

    @property
    def counted_as(self) -> str:
        return counted_as(self.kind, self.lane_limits)

    def claimed_at(self, claim_ms: int) -> "Started":
        """Return the same with the time of its claim. `_replace` takes ten times as long."""
        return Started._make((*self[:_CLAIMED_MS_AT], claim_ms, *self[_CLAIMED_MS_AT + 1 :]))


_CLAIMED_MS_AT = Started._fields.index("claimed_ms")


@dataclass(frozen=True, slots=True)
class HandOver:
    """A worker's wish to begin what its finishes release, as `start` says: at most `most` jobs.

    Of kinds `in_processes`, at most `children` begin.
    """

    start: Start
    most: int
    in_processes: frozenset[str]
    children: int


class Finish(NamedTuple):
    """An attempt's end: its outcome, and the job's next state. `kind` is the job's label, or else its kind.

    `answered` and `hold_lane` are not recorded. They are for the job's lane: whether the destination has answered, and
    for how long the kind wants the lane held. `exchange` is JSON: see `exchange.py`. `fingerprint` names the group of
    its failure, `destination` is the kind's lane, and a `late` success has missed its kind's SLO. One finish of a group
    carries the worker's wish to `hand_over`.
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
    exchange: str | None = None
    fingerprint: str | None = None
    destination: str | None = None
    late: bool = False
    hand_over: HandOver | None = None


class Finished(NamedTuple):
    """A recorded finish. Its state may be `cancelled` although the finish asked for another.

    One finish of a group carries what followed from all of them. The one that wished to hand over carries the attempts
    that began by it; these jobs are no longer among the released ones.
    """

    state: State
    run_at: datetime
    queue: str
    priority: int = 0
    followed: Followed = NOTHING_FOLLOWED
    handed_over: tuple[Started, ...] = ()
