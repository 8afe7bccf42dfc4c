"""Jobs as callers see them: looked up, listed, and in the answer to an enqueue."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping

from service.access.principal import Principal
from service.lane_rules import in_order
from service.ledger.final_json import MOMENTS, PLAIN
from service.ledger.models import Enqueued, NewJob
from service.ledger.reads.flows import Relations
from service.ledger.reads.kept import Kept
from service.ledger.states import Outcome, State
from service.tables import moment_text
from service.web.cursor import NEXT_CURSOR
from service.web.jobs.callback_out import CallbackOut
from service.web.moments import ShownMoment

_LOOK_UP = "Left out of lists if the job came after others or has callbacks: look the job up."
_LOOK_UP_KEPT = "Left out of lists if the job has kept anything: look the job up."


class ErrorOut(BaseModel):
    type: str
    message: str


class AttemptError(ErrorOut):
    traceback: str | None = None


class ProgressOut(BaseModel):
    done: int
    total: int | None


class AttemptOut(BaseModel):
    number: int
    outcome: Outcome | None = Field(description="null while it runs")
    started_at: ShownMoment
    finished_at: ShownMoment | None
    worker: str
    error: AttemptError | None
    exchange: dict[str, Any] | None = Field(
        description="What it sent to others and got back, if it has not succeeded: for HTTP `request` and `answer`,"
        " for email `server`, `recipients` and `answers`."
    )


class StepOut(BaseModel):
    name: str
    result: Any
    attempt: int
    started_at: ShownMoment
    finished_at: ShownMoment


class JobOut(BaseModel):
    """A job as the ledger has it. Times are RFC 3339 UTC; secret fields of the args are masked."""

    id: str
    kind: str
    label: str = Field(
        description="What it counts as when kinds are counted or paused: its kind, or the function of an app."
    )
    state: State
    queue: str
    priority: int
    args: Any
    result: Any = None
    error: ErrorOut | None = Field(None, description="of the latest attempt, unless it succeeded in full")
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    max_attempts: int
    progress: ProgressOut | None = None
    tags: list[str]
    metadata: dict[str, Any] | None
    lane: str | None = Field(None, description="the lane that its request named")
    lanes: list[str] = Field([], description="whose limits apply: its request's lane and its kind's")
    waiting_for: str | None = Field(
        None,
        description="Why it is not running, in one sentence. null if it runs or has ended and, in the answer to an"
        " enqueue, if nothing is known to hold it back.",
    )
    run_at: ShownMoment
    created_at: ShownMoment
    started_at: ShownMoment | None = None
    finished_at: ShownMoment | None = None
    attempts: list[AttemptOut] = Field([], description="First to last. Lists show them only with `expand=attempts`.")
    flow: str | None = Field(None, description="the flow that it is in")
    after: list[str] = Field([], description=f"The ids of the jobs that it came after. {_LOOK_UP}")
    blocked_by: list[str] = Field([], description=f"The ids of the jobs that it still waits for. {_LOOK_UP}")
    callbacks: list[CallbackOut] = Field([], description=f"Enqueued when it ends. {_LOOK_UP}")
    steps: list[StepOut] = Field([], description=f"What it has kept, first to last. {_LOOK_UP_KEPT}")
    checkpoint: Any = Field(None, description=f"The latest value of `ctx.checkpoint`. {_LOOK_UP_KEPT}")
    enqueued_by: str | None = Field(None, description="Who sent it; null: the service, or no key was required.")
    args_hidden: bool = Field(False, description="Args, results, metadata and checkpoint are hidden from the caller.")

    def shown_to(self, principal: Principal) -> "JobOut":
        """Return it without what the principal may not see."""
        if principal.sees_args:
            return self
        steps = [step.model_copy(update={"result": None}) for step in self.steps]
        attempts = [attempt.model_copy(update={"exchange": None}) for attempt in self.attempts]
        hidden = dict.fromkeys(("args", "result", "metadata", "checkpoint")) | {"steps": steps, "attempts": attempts}
        hidden["callbacks"] = [one.shown_to(principal) for one in self.callbacks]
        told = {name: value for name, value in hidden.items() if name in self.model_fields_set}
        return self.model_copy(update=told | {"args_hidden": True})

    @classmethod
    def of_row(
        cls,
        row: RowMapping,
        attempts: Iterable[RowMapping] | None,
        waiting_for: str | None,
        relations: Relations | None = None,
        kept: Kept | None = None,
    ) -> "JobOut":
        """Show a row of the ledger. Without `attempts`, `relations` or `kept`, their fields stay unset."""
        error, done = row["error_type"], row["progress_done"]
        plain = {name: row[name] for name in _PLAIN}
        return cls(
            **plain,
            label=row["label"] or row["kind"],
            enqueued_by=row["enqueued_by"],
            args_hidden=False,
            args=json.loads(row["args"]),
            result=None if row["result"] is None else json.loads(row["result"]),
            error=None if error is None else ErrorOut(type=error, message=row["error_message"] or ""),
            progress=None if done is None else ProgressOut(done=done, total=row["progress_total"]),
            tags=json.loads(row["tags"]),
            metadata=json.loads(row["metadata"] or "{}"),
            lanes=list(in_order(row["lane"], row["kind_lane"])),
            waiting_for=waiting_for,
            **({} if attempts is None else {"attempts": [_attempt(attempt) for attempt in attempts]}),
            **({} if relations is None else _related(relations)),
            **({} if kept is None else _kept(kept)),
        )


_PLAIN = (*PLAIN, *MOMENTS)


def _related(relations: Relations) -> dict[str, Any]:
    return {
        "after": list(relations.after),
        "blocked_by": list(relations.blocked_by),
        "callbacks": [CallbackOut.of(callback) for callback in relations.callbacks],
    }


def _kept(kept: Kept) -> dict[str, Any]:
    return {
        "steps": [StepOut(**{**step, "result": json.loads(step["result"])}) for step in kept.steps],
        "checkpoint": None if kept.checkpoint is None else json.loads(kept.checkpoint),
    }


def _attempt(row: RowMapping) -> AttemptOut:
    error = row["error_type"]
    return AttemptOut(
        number=row["number"],
        outcome=row["outcome"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        worker=row["worker"],
        error=None
        if error is None
        else AttemptError(type=error, message=row["error_message"] or "", traceback=row["traceback"]),
        exchange=None if row["exchange"] is None else json.loads(row["exchange"]),
    )


class JobList(BaseModel):
    jobs: list[JobOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)
    searched: int = Field(
        0, description="Only with filters that no index serves: how many jobs this page searched, at most 10,000."
    )


def new_job_json(job: NewJob, waiting_for: str | None) -> bytes:
    """Return a new job without relations as `JobOut` shows it. Through the model it would cost ten times as much."""
    # Args are already JSON. A number that JSON lacks becomes null, as it does when the job is looked up.
    args = to_json(from_json(job.args), inf_nan_mode="null") if _may_not_be_json(job.args) else job.args.encode()
    says_more = job.tags or job.metadata is not None or job.lane is not None or job.kind_lane is not None
    parts = (
        to_json(job.id),
        _named(job.kind, job.counted_as, str(job.state), job.queue, job.priority),
        args,
        _NOT_RUN,
        job.max_attempts,
        _said(job) if says_more else _NOTHING_SAID,
        _sentence(waiting_for),
        moment_text(job.run_at).encode(),
        moment_text(job.created_at).encode(),
        _NOT_STARTED,
        _IN_NO_FLOW if job.flow is None else b'"flow":%b,%b' % (to_json(job.flow), _UNRELATED),
        b"null" if job.enqueued_by is None else to_json(job.enqueued_by),
    )
    return _NEW_JOB % parts


# Constants: written with the rest, they would take some microseconds of each enqueue.
_NEW_JOB = (
    b'{"id":%b,%b,"args":%b,%b,"max_attempts":%d,"progress":null,%b,"waiting_for":%b,"run_at":"%b","created_at":"%b",'
    b'%b,%b,"enqueued_by":%b,"args_hidden":false}'
)
_NOT_RUN = b'"result":null,"error":null,"attempt":0,"failures":0,"crashes":0'
_NOTHING_SAID = b'"tags":[],"metadata":{},"lane":null,"lanes":[]'
_NOT_STARTED = b'"started_at":null,"finished_at":null,"attempts":[]'
_UNRELATED = b'"after":[],"blocked_by":[],"callbacks":[],"steps":[],"checkpoint":null'
_IN_NO_FLOW = b'"flow":null,' + _UNRELATED


@lru_cache(maxsize=256)  # few combinations are in constant use
def _named(kind: str, label: str, state: str, queue: str, priority: int) -> bytes:
    named = {"kind": kind, "label": label, "state": state, "queue": queue, "priority": priority}
    return to_json(named)[1:-1]


def _said(job: NewJob) -> bytes:
    """Write what the requests of few jobs say."""
    metadata = {} if job.metadata is None else from_json(job.metadata)
    said = {"tags": job.tags, "metadata": metadata, "lane": job.lane, "lanes": job.lanes}
    return to_json(said, inf_nan_mode="null")[1:-1]


@lru_cache(maxsize=16)
def _sentence(text: str | None) -> bytes:
    return to_json(text)


def _may_not_be_json(args: str) -> bool:
    """Whether args may hold NaN or an infinity."""
    return "NaN" in args or "Infinity" in args


class BatchJob(BaseModel):
    id: str
    kind: str
    state: State


class BatchOut(BaseModel):
    jobs: list[BatchJob] = Field(description="In the order of the request.")


def batch_json(jobs: Sequence[NewJob]) -> bytes:
    """Return new jobs as `BatchOut` shows them."""
    return to_json({"jobs": [{"id": job.id, "kind": job.kind, "state": job.state} for job in jobs]})


def batch_json_of(enqueued: Enqueued, principal: Principal) -> bytes:
    """Return what stands for the jobs of a batch as `BatchOut` shows it.

    A holder that the principal may not see is told by its id alone: the rest is the new job's.
    """
    told = []
    for job_id, job in zip(enqueued.ids, enqueued.jobs, strict=True):
        one = enqueued.standing.get(job_id)
        is_shown = one is not None and principal.may_touch(one.kind, one.queue, one.label)
        kind, state = (one.kind, one.state) if one is not None and is_shown else (job.kind, job.state)
        told.append({"id": job_id, "kind": kind, "state": state})
    return to_json({"jobs": told})
