"""The options of a new job, and the bodies of the requests that enqueue."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Union

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
from service.moments import Moment
from service.options import NO_OPTIONS, Options
from service.requests.change_requests import ChangeRequests
from service.requests.client_made import ClientMadeId
from service.requests.following import FOLLOWING, MOST_PARENTS, Callbacks, FlowName, Following, JobId
from service.requests.job_options import LONGEST_WAIT_S, SHORTEST_S, JobOptions, seconds
from service.requests.retry_in import RetryIn

MAX_BATCH = 10_000

# Fields that set none of a job's options: most requests have no others.
_BARE = {"kind", "args", "id", "name", *FOLLOWING}
_BARE_IN_LANE = {*_BARE, "lane"}


class EnqueueOptions(JobOptions, Following):
    """The options of one job, besides its kind and args."""

    run_at: Moment | None = Field(None, description="When to run it, RFC 3339 with a time zone. Default: now.")
    unique_key: str | None = Field(
        None, min_length=1, max_length=bounds.LONGEST_UNIQUE_KEY, description="One live job for each key."
    )
    id: ClientMadeId | None = Field(
        None,
        description="A UUIDv7 that the client made: the same id and body is the same job. Default: Postlude makes one.",
    )
    on_conflict: bounds.OnConflict = Field(
        "return",
        description="If a waiting job holds the `unique_key`, it is returned; or it takes over all that this request"
        " says but its time (`replace`), or with its time (`debounce`). 409 if it runs already.",
    )
    unique_for: float | None = Field(
        None,
        ge=SHORTEST_S,
        le=LONGEST_WAIT_S,
        description="The job also holds its `unique_key` for this many seconds after it ends, against requests"
        " that set `unique_for` too.",
    )
    retry: RetryIn | None = Field(None, description="Default: the kind's policy.")

    @model_validator(mode="after")
    def _fit_together(self) -> "EnqueueOptions":
        if self.run_at is not None and self.delay is not None:
            raise ValueError("give run_at or delay, not both")
        if self.unique_key is None and (self.unique_for is not None or self.on_conflict != "return"):
            raise ValueError("unique_for and on_conflict are for jobs with a unique_key")
        return self

    def options(self) -> Options:
        if self.model_fields_set <= _BARE:
            return NO_OPTIONS
        if self.lane is not None and self.model_fields_set <= _BARE_IN_LANE:
            return Options(lane=self.lane.lane())
        return Options(
            run_at=self.run_at,
            unique_key=self.unique_key,
            on_conflict=self.on_conflict,
            unique_for=seconds(self.unique_for),
            retry=self.retry.own_retry() if self.retry else None,
            **self.shared_options(),
        )


class JoiningOptions(EnqueueOptions):
    """The options of a job that is enqueued by itself, or in a batch: it names others by their ids."""

    after: tuple[JobId, ...] = Field((), max_length=MOST_PARENTS, description="Ids of jobs that it waits for.")
    flow: str | None = Field(None, min_length=1, max_length=36, description="The id of a flow that it joins.")


class FlowJobOptions(EnqueueOptions):
    """The options of a job that is enqueued with its flow: it names others by their names in it."""

    name: FlowName = Field(description="Its name in this flow.")
    after: tuple[FlowName, ...] = Field(
        (), max_length=MOST_PARENTS, description="Names of jobs of this flow that it waits for."
    )


class BatchOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FlowOptions(Callbacks):
    """What a request says about a flow, besides its jobs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: FlowName | None = Field(None, description="What the flow is called; several may have the same name.")
    id: ClientMadeId | None = Field(
        None, description="A UUIDv7 that the client made: the same id and body is the same flow, another body is a 409."
    )


class Form(NamedTuple):
    """A body with a list of `jobs`. `around` validates what surrounds them, with each job left empty."""

    noun: str
    job: TypeAdapter[Any]
    around: TypeAdapter[Any]
    kinds: dict[str, Kind[Any, Any]]


class Requests:
    """The bodies of `POST /v1/jobs`, `/v1/jobs/batch` and `/v1/flows`: their jobs are told apart by `kind`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.kinds = {name: catalogue[name] for name in sorted(catalogue)}
        one = _any_of(self.kinds, "Enqueue", JoiningOptions)
        self.one: TypeAdapter[Any] = TypeAdapter(one)
        self.whole_batch: TypeAdapter[Any] = TypeAdapter(_body_of("Batch", one, BatchOptions))
        # What surrounds the jobs; each job is validated by itself.
        self.batch = Form("batch", self.one, TypeAdapter(_body_of("Batch", dict[str, Any], BatchOptions)), self.kinds)

    @cached_property
    def changes(self) -> ChangeRequests:
        return ChangeRequests(self.kinds)

    @cached_property
    def flow(self) -> Form:
        around: TypeAdapter[Any] = TypeAdapter(_body_of("Flow", dict[str, Any], FlowOptions))
        return Form("flow", TypeAdapter(self._flow_job), around, self.kinds)

    @cached_property
    def whole_flow(self) -> TypeAdapter[Any]:
        return TypeAdapter(_body_of("Flow", self._flow_job, FlowOptions))

    @cached_property
    def _flow_job(self) -> Any:
        return _any_of(self.kinds, "FlowJob", FlowJobOptions)


def _any_of(kinds: Mapping[str, Kind[Any, Any]], prefix: str, options: type[EnqueueOptions]) -> Any:
    models = tuple(_request_model(kind, prefix, options) for kind in kinds.values())
    return Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - a union made at run time


def _body_of(name: str, job: Any, options: type[BaseModel]) -> type[BaseModel]:
    jobs: Any = Annotated[list[job], Field(min_length=1, max_length=MAX_BATCH)]
    return create_model(name, __base__=options, jobs=(jobs, ...))


def _request_model(kind: Kind[Any, Any], prefix: str, options: type[EnqueueOptions]) -> type[BaseModel]:
    name: Any = Literal[kind.name]
    return create_model(
        f"{prefix}_{kind.name}",
        __base__=options,
        __doc__=kind.description or None,
        kind=(name, ...),
        args=args_field(kind),
    )


def args_field(kind: Kind[Any, Any]) -> Any:
    """Return the field for a kind's args in a request: with a default, where the args have one."""
    try:
        kind.door_model()
    except ValidationError:
        return (kind.door_model, ...)
    return (kind.door_model, Field(default_factory=kind.door_model))
