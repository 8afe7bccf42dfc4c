"""The options of a new job, and the bodies of the requests that enqueue."""

from datetime import timedelta
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

from jobs import Catalogue, Kind
from service import options as bounds
from service.api.jobs.lane_in import LaneOption
from service.options import Options
from service.web.moments import Moment

MAX_BATCH = 10_000
_LONGEST_WAIT_S = bounds.LONGEST_WAIT.total_seconds()
_LONGEST_TIMEOUT_S = bounds.LONGEST_TIMEOUT.total_seconds()
_SHORTEST_S = bounds.SHORTEST_TIME.total_seconds()

# What a request that asks for no options has, as most do.
_BARE = {"kind", "args"}
_NO_OPTIONS = Options()

Tag = Annotated[str, Field(min_length=1, max_length=bounds.LONGEST_TAG)]


class EnqueueOptions(BaseModel):
    """The options of one job, besides its kind and args."""

    # Strict: `true` is not a number of seconds, and "3" not a priority.
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

    lane: LaneOption | None = Field(
        None, description="Jobs with this key share limits: the key, or an object that has limits too."
    )

    @model_validator(mode="after")
    def _one_time(self) -> "EnqueueOptions":
        if self.run_at is not None and self.delay is not None:
            raise ValueError("give run_at or delay, not both")
        return self

    def options(self) -> Options:
        if self.model_fields_set <= _BARE:
            return _NO_OPTIONS
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
            lane=self.lane.lane() if self.lane else None,
        )


class Requests:
    """The bodies of `POST /v1/jobs` and `/v1/jobs/batch`: a union over the catalogue, told apart by `kind`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.kinds = {name: catalogue[name] for name in sorted(catalogue)}
        models = tuple(_request_model(catalogue[name]) for name in self.kinds)
        one: Any = Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - a union made at run time
        self.one: TypeAdapter[Any] = TypeAdapter(one)
        self.whole_batch: TypeAdapter[Any] = TypeAdapter(_batch_of(one))
        # What surrounds the jobs; each job is validated by itself.
        self.batch: TypeAdapter[Any] = TypeAdapter(_batch_of(dict[str, Any]))


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
