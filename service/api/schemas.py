"""What goes in and out over HTTP."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping

from jobs import Catalogue, Kind
from service import options as bounds
from service.api.filters import ReplayFilter
from service.ledger.models import NewJob
from service.ledger.states import Outcome, State
from service.options import Options
from service.tables import moment_text
from service.web.cursor import NEXT_CURSOR
from service.web.moments import Moment, ShownMoment
from service.web.problems import Problem

MAX_BATCH = 10_000
_LONGEST_WAIT_S = bounds.LONGEST_WAIT.total_seconds()
_LONGEST_TIMEOUT_S = bounds.LONGEST_TIMEOUT.total_seconds()
_SHORTEST_S = bounds.SHORTEST_TIME.total_seconds()

Tag = Annotated[str, Field(min_length=1, max_length=bounds.LONGEST_TAG)]


class EnqueueOptions(BaseModel):
    """What may be said about one job besides its kind and args."""

    # Strict: `true` is no number of seconds, and "3" no priority.
    model_config = ConfigDict(extra="forbid", strict=True)

    run_at: Moment | None = Field(None, description="When to run it, RFC 3339 with a time zone. Default: now.")
    delay: float | None = Field(None, ge=0, le=_LONGEST_WAIT_S, description="Seconds from now, instead of `run_at`.")
    queue: str | None = Field(
        None, min_length=1, max_length=bounds.LONGEST_QUEUE, description="Default: the kind's queue."
    )
    priority: int = Field(
        0,
        ge=-bounds.HIGHEST_PRIORITY,
        le=bounds.HIGHEST_PRIORITY,
        description="Each step moves a due job 10 minutes ahead of others, or behind them. Never runs a job early, "
        "and never keeps one from an idle worker.",
    )
    max_attempts: int | None = Field(None, ge=1, le=bounds.MOST_ATTEMPTS, description="Default: the kind's.")
    timeout: float | None = Field(
        None, ge=_SHORTEST_S, le=_LONGEST_TIMEOUT_S, description="Seconds for each attempt. Default: the kind's."
    )
    expires_in: float | None = Field(
        None, ge=_SHORTEST_S, le=_LONGEST_WAIT_S, description="Fail it if not started in so many seconds."
    )
    unique_key: str | None = Field(
        None, min_length=1, max_length=bounds.LONGEST_UNIQUE_KEY, description="One live job for each key."
    )
    # A tuple: Pydantic copies a list's default for every request.
    tags: tuple[Tag, ...] = Field((), max_length=bounds.MOST_TAGS)
    metadata: bounds.Metadata | None = Field(
        None, description="Anything to remember about the job: a JSON object of at most 4 KiB."
    )

    @model_validator(mode="after")
    def _one_time(self) -> "EnqueueOptions":
        if self.run_at is not None and self.delay is not None:
            raise ValueError("give run_at or delay, not both")
        return self

    def options(self) -> Options:
        return Options(
            run_at=self.run_at,
            delay=_seconds(self.delay),
            queue=self.queue,
            priority=self.priority,
            max_attempts=self.max_attempts,
            timeout=_seconds(self.timeout),
            expires_in=_seconds(self.expires_in),
            unique_key=self.unique_key,
            tags=tuple(dict.fromkeys(self.tags)),
            metadata=self.metadata,
        )


class Requests:
    """The bodies of `POST /v1/jobs` and `/v1/jobs/batch`: a union over the catalogue, told apart by `kind`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.kinds = {name: catalogue[name] for name in sorted(catalogue)}
        models = tuple(_request_model(catalogue[name]) for name in self.kinds)
        one: Any = Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - a union made at run time
        self.one: TypeAdapter[Any] = TypeAdapter(one)
        self._whole_batch: TypeAdapter[Any] = TypeAdapter(_batch_of(one))
        # What is around the jobs, each of which is validated by itself.
        self.batch: TypeAdapter[Any] = TypeAdapter(_batch_of(dict[str, Any]))

    @cached_property
    def components(self) -> dict[str, Any]:
        """What FastAPI cannot know for OpenAPI's components: the bodies that routes parse, and `Problem`."""
        return {
            **components_of(Problem, BulkReplayRequest),
            **_component("EnqueueRequest", self.one),
            **_component("BatchRequest", self._whole_batch),
        }


def components_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Describe models for OpenAPI's components, with all that they are made of."""
    components: dict[str, Any] = {}
    for model in models:
        components |= _component(model.__name__, TypeAdapter(model))
    return components


def _component(name: str, adapter: TypeAdapter[Any]) -> dict[str, Any]:
    schema = adapter.json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), name: schema}


def _batch_of(job: Any) -> type[BaseModel]:
    jobs: Any = Annotated[list[job], Field(min_length=1, max_length=MAX_BATCH)]
    return create_model("Batch", __config__=ConfigDict(extra="forbid"), jobs=(jobs, ...))


def _request_model(kind: Kind[Any, Any]) -> type[BaseModel]:
    name: Any = Literal[kind.name]
    args: Any = (kind.door_model, ...)
    try:
        kind.door_model()
    except ValidationError:
        pass
    else:
        args = (kind.door_model, Field(default_factory=kind.door_model))
    return create_model(
        f"Enqueue_{kind.name}",
        __base__=EnqueueOptions,
        __doc__=kind.description or None,
        kind=(name, ...),
        args=args,
    )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


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


class JobOut(BaseModel):
    """A job as the ledger has it. Times are RFC 3339 UTC; secret fields of the args are masked."""

    id: str
    kind: str
    state: State
    queue: str
    priority: int
    args: Any
    result: Any = None
    error: ErrorOut | None = Field(None, description="of the latest attempt, where it did not succeed, or only in part")
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    max_attempts: int
    progress: ProgressOut | None = None
    tags: list[str]
    metadata: dict[str, Any]
    run_at: ShownMoment
    created_at: ShownMoment
    started_at: ShownMoment | None = None
    finished_at: ShownMoment | None = None
    attempts: list[AttemptOut] = Field([], description="First to last. Lists show them with `expand=attempts` alone.")

    @classmethod
    def of_row(cls, row: RowMapping, attempts: Iterable[RowMapping] | None) -> "JobOut":
        """Show a row of the ledger; without `attempts`, these stay unset."""
        error, done = row["error_type"], row["progress_done"]
        plain = {name: row[name] for name in _PLAIN}
        return cls(
            **plain,
            args=json.loads(row["args"]),
            result=None if row["result"] is None else json.loads(row["result"]),
            error=None if error is None else ErrorOut(type=error, message=row["error_message"] or ""),
            progress=None if done is None else ProgressOut(done=done, total=row["progress_total"]),
            tags=json.loads(row["tags"]),
            metadata=json.loads(row["metadata"] or "{}"),
            **({} if attempts is None else {"attempts": [_attempt(attempt) for attempt in attempts]}),
        )


_PLAIN = [
    "id",
    "kind",
    "state",
    "queue",
    "priority",
    "attempt",
    "failures",
    "crashes",
    "max_attempts",
    "run_at",
    "created_at",
    "started_at",
    "finished_at",
]


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
    )


class JobList(BaseModel):
    jobs: list[JobOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


def new_job_json(job: NewJob) -> bytes:
    """Write what `JobOut` shows of a job at the moment of its recording; a model for it would cost four times that."""
    return to_json(
        {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "queue": job.queue,
            "priority": job.priority,
            "args": from_json(job.args),
            "result": None,
            "error": None,
            "attempt": 0,
            "failures": 0,
            "crashes": 0,
            "max_attempts": job.max_attempts,
            "progress": None,
            "tags": job.tags,
            "metadata": from_json(job.metadata or "{}"),
            "run_at": moment_text(job.run_at),
            "created_at": moment_text(job.created_at),
            "started_at": None,
            "finished_at": None,
            "attempts": [],
        },
        inf_nan_mode="null",
    )


class BatchJob(BaseModel):
    id: str
    kind: str
    state: State


class BatchOut(BaseModel):
    jobs: list[BatchJob] = Field(description="In the order of the request.")


def batch_json(jobs: Sequence[NewJob], ids: Iterable[str]) -> bytes:
    """Write what `BatchOut` shows of jobs, under the ids that stand for them."""
    told = [{"id": job_id, "kind": job.kind, "state": job.state} for job_id, job in zip(ids, jobs, strict=True)]
    return to_json({"jobs": told})


class BulkReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    filter: ReplayFilter
    dry_run: bool = Field(False, description="Only tell what would be replayed.")
    cursor: str | None = Field(None, max_length=1000, description="Go on where an answer's `next_cursor` says.")


class BulkReplayOut(BaseModel):
    matched: int = Field(description="How many jobs were looked at.")
    replayed: int = Field(description="How many of them were replayed or, on a dry run, would be.")
    skipped: dict[str, int] = Field(
        description="How many were not, by reason: `unique_key_taken`, `state_forbids`, and, for jobs that could not"
        " run today, `kind_unknown`, `queue_unknown`, `args_invalid`."
    )
    dry_run: bool
    more: bool = Field(description="Not all were looked at in the time there is. Send the same with `next_cursor`.")
    next_cursor: str | None = Field(None, description="Where to go on; null when all were looked at.")


class KindOut(BaseModel):
    name: str
    description: str
    args_schema: dict[str, Any]
    timeout: float = Field(description="Seconds for each attempt.")
    max_attempts: int
    queue: str
    cron: str | None
    catch_up: Literal["none", "last", "all"] | None = Field(
        description="Which missed ticks become jobs; null without cron."
    )


class KindList(BaseModel):
    kinds: list[KindOut]
