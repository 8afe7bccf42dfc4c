"""Jobs as the service shows them. Times are aware datetimes.

Further fields from a newer service are kept unchanged, and are never an error.
"""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, SkipValidation

State = Literal["scheduled", "blocked", "queued", "running", "retrying", "succeeded", "failed", "cancelled"]
Outcome = Literal["succeeded", "failed", "timed_out", "discarded", "cancelled", "snoozed", "crashed", "interrupted"]
ENDED: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})
LIVE: frozenset[State] = frozenset({"scheduled", "blocked", "queued", "running", "retrying"})

# Not validated: a newer service may have more values.
_State = Annotated[State, SkipValidation]
_Outcome = Annotated[Outcome, SkipValidation]


class Shown(BaseModel):
    """What the service shows."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class JobError(Shown):
    type: str
    message: str = ""
    traceback: str | None = None


class Progress(Shown):
    done: int
    total: int | None = None


class Attempt(Shown):
    """One run of a job. `outcome` is None while it runs."""

    number: int
    outcome: _Outcome | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    error: JobError | None = None


class Step(Shown):
    """A part of a job whose result is kept."""

    name: str
    result: Any = None
    attempt: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class JobCallback(Shown):
    """What is enqueued when the job ends, and the ids of the jobs enqueued so far."""

    event: str
    kind: str
    args: Any = None
    jobs: list[str] = []


class Job(Shown):
    """A job, as it was when the service answered."""

    id: str
    kind: str
    label: str | None = None
    """What it counts as: its kind or, for a call of an app, the function."""
    state: _State
    queue: str | None = None
    priority: int = 0
    args: Any = None
    result: Any = None
    error: JobError | None = None
    """The error of the latest attempt."""
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    max_attempts: int | None = None
    progress: Progress | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    lane: str | None = None
    lanes: list[str] = []
    waiting_for: str | None = None
    """Why it is not running yet, in a sentence for people."""
    run_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: list[Attempt] = []
    """First to last; `list` shows none."""
    flow: str | None = None
    after: list[str] = []
    blocked_by: list[str] = []
    callbacks: list[JobCallback] = []
    steps: list[Step] = []
    checkpoint: Any = None

    @property
    def ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled: only a replay runs it again."""
        return self.state in ENDED


class StateEvent(Shown):
    """What a job has become. `outcome` and `error` are those of the attempt that ended."""

    state: _State
    attempt: int = 0
    at: datetime | None = None
    outcome: _Outcome | None = None
    error: JobError | None = None
    result: Any = None


class ProgressEvent(Shown):
    """The progress of the running attempt."""

    attempt: int = 0
    done: int
    total: int | None = None


Event = StateEvent | ProgressEvent


class EnqueuedJob(Shown):
    """What the answer to a batch says about each job."""

    id: str
    kind: str
    state: _State


class EnqueuedJobs(Shown):
    jobs: list[EnqueuedJob]


class Flow(Shown):
    """An enqueued flow: `jobs` has the ids of its jobs by name."""

    id: str
    jobs: dict[str, str]


class File(Shown):
    """A file that the service keeps. Its type was detected from its first bytes."""

    id: str
    name: str
    size: int
    content_type: str
    sha256: str
    created_at: datetime | None = None
    expires_at: datetime | None = None


class Page(Shown):
    """A page of a list; None in `next_cursor` says that it is the last one."""

    jobs: list[Job]
    next_cursor: str | None = None


class Replayed(Shown):
    """What `replay_many` did, or would do: `skipped` says how many jobs were not replayed, by reason."""

    matched: int
    replayed: int
    skipped: dict[str, int] = {}
    dry_run: bool = False
    next_cursor: str | None = None

    def plus(self, later: "Replayed") -> "Replayed":
        """Return both together."""
        skipped = Counter(self.skipped) + Counter(later.skipped)
        sums = {"matched": self.matched + later.matched, "replayed": self.replayed + later.replayed}
        return later.model_copy(update={**sums, "skipped": dict(skipped)})
