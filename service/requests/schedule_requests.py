"""What requests say about schedules: the schedule itself, and why one is paused."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, create_model, model_validator

from jobs import Kind
from jobs.kit.cron import LONGEST_EXPRESSION, LONGEST_ZONE, check_expression, zone_named
from service import agreed_time
from service.errors import ArgsInvalid, CronExpressionInvalid, ScheduleInvalid, TimeZoneInvalid, located
from service.ledger.records.schedules import CatchUp, NewSchedule
from service.ledger.records.ticked import Overlap
from service.lifecycle.new_job import new_job
from service.lifecycle.schedules.stored_options import written_options
from service.moments import Moment
from service.options import LONGEST_WAIT, Options
from service.requests.parsing import parse
from service.requests.requests import EnqueueOptions, args_field
from service.resources import Resources

LONGEST_NAME = 100
MOST_JITTER_S = 3600
LONGEST_REASON = 500
_REFUSALS: Mapping[str, type[ArgsInvalid]] = {"cron": CronExpressionInvalid, "time_zone": TimeZoneInvalid}
# A tick has its own time, and `overlap` says what to do with jobs that must not overlap.
_OPTIONS = ("queue", "priority", "max_attempts", "timeout", "expires_in", "tags", "metadata", "lane")


def check_name(name: str) -> str:
    """Return the name of a schedule. Raises `ScheduleInvalid`."""
    if not 1 <= len(name) <= LONGEST_NAME or "\0" in name or name != name.strip():
        raise ScheduleInvalid(f"A schedule's name has 1 to {LONGEST_NAME} characters, and no spaces around it.")
    return name


def _checked_expression(text: str) -> str:
    check_expression(text)
    return text


def _checked_zone(name: str) -> str:
    zone_named(name)
    return name


_FIELDS = EnqueueOptions.model_fields
_OF_JOBS: dict[str, Any] = {name: (_FIELDS[name].annotation, _FIELDS[name]) for name in _OPTIONS}
ScheduleOptions: Any = create_model(
    "ScheduleOptions",
    __config__=ConfigDict(extra="forbid", strict=True),
    __doc__="The options of the schedule's jobs, as in `POST /v1/jobs`.",
    **_OF_JOBS,
)


class ScheduleRequest(BaseModel):
    """When to enqueue which kind with which args. Fields left out get their defaults, even in a change."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    args: Any = Field(default_factory=dict)
    cron: Annotated[str, Field(max_length=LONGEST_EXPRESSION), AfterValidator(_checked_expression)] = Field(
        description="Five fields, six that begin with seconds, or a name: `@hourly`, `@daily`, `@weekly` and so on."
    )
    time_zone: Annotated[str, Field(max_length=LONGEST_ZONE), AfterValidator(_checked_zone)] = Field(
        "UTC", description="A name of the IANA database, such as Europe/Berlin."
    )
    catch_up: CatchUp = Field(
        "last", description="Which ticks that came due while no worker ran become jobs: `none`, the `last`, or `all`."
    )
    overlap: Overlap = Field(
        "allow",
        description="When the job of an earlier tick has not ended: `allow` enqueues another, `skip` does not, and"
        " `replace` cancels the earlier one.",
    )
    jitter: float = Field(
        0, ge=0, le=MOST_JITTER_S, description="Seconds over which jobs are spread: each tick has its own delay."
    )
    start: Moment | None = Field(None, description="No tick comes before.")
    end: Moment | None = Field(None, description="No tick comes afterwards.")
    options: ScheduleOptions = Field(default_factory=ScheduleOptions)

    @model_validator(mode="after")
    def _fits(self) -> "ScheduleRequest":
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError("end is before start")
        if self.start is not None and self.start > agreed_time.now() + LONGEST_WAIT:
            raise ValueError(f"start may be {LONGEST_WAIT.days} days ahead at most")
        return self


class ScheduleRequests:
    """The bodies of `PUT /v1/schedules/{name}`: a union over the catalogue, told apart by `kind`."""

    def __init__(self, catalogue: Mapping[str, Kind[Any, Any]]) -> None:
        self.kinds = {name: catalogue[name] for name in sorted(catalogue)}
        models = tuple(_request_model(kind) for kind in self.kinds.values())
        one: Any = Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - a union made at run time
        self.one: TypeAdapter[Any] = TypeAdapter(one)


class PauseOfSchedule(BaseModel):
    """Why a schedule is paused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str | None = Field(
        None, min_length=1, max_length=LONGEST_REASON, description="For anyone who looks at it later."
    )


_pause: TypeAdapter[PauseOfSchedule] = TypeAdapter(PauseOfSchedule)


def parse_pause(body: bytes) -> str | None:
    """Read the reason of a pause; None without a body. Raises `BodyMalformed` and `ArgsInvalid`."""
    return parse(_pause, body, {}).reason if body else None


def _request_model(kind: Kind[Any, Any]) -> type[BaseModel]:
    name: Any = Literal[kind.name]
    return create_model(f"Schedule_{kind.name}", __base__=ScheduleRequest, kind=(name, ...), args=args_field(kind))


def parse_schedule(requests: ScheduleRequests, resources: Resources, name: str, body: bytes) -> NewSchedule:
    """Read a schedule. Raises the errors of enqueueing its job, and `BodyMalformed`."""
    wanted = parse(requests.one, body, requests.kinds, refusals=_REFUSALS)
    options: Options = EnqueueOptions(**wanted.options.model_dump(exclude_unset=True, exclude={"lane"})).options()
    if wanted.options.lane is not None:
        options = options._replace(lane=wanted.options.lane.lane())
    with located("options", "queue"):
        resources.check_queue(options.queue)
    job = new_job(resources.catalogue[wanted.kind], wanted.args, options, agreed_time.now())
    return NewSchedule(
        name=name,
        kind=wanted.kind,
        args=job.args,
        sealed_args=job.sealed_args,
        options=written_options(options),
        cron=wanted.cron,
        time_zone=wanted.time_zone,
        catch_up=wanted.catch_up,
        overlap=wanted.overlap,
        jitter_s=wanted.jitter,
        start_at=wanted.start,
        end_at=wanted.end,
    )
