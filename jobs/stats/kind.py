"""`update_stats`: counters by subject, event and time, exact although a job may run more than once."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.proof import Check
from jobs.kit.times import Time
from jobs.stats.counters import Count, Counters

MOST_EVENTS = 1_000
MOST_BYTES = 2_500
# Subjects with this prefix are the service's own: how jobs of a kind ended, waited and ran.
OF_KINDS = "kind:"


def _check_subject(subject: str) -> None:
    if subject.startswith(OF_KINDS):
        raise ValueError(f"must not begin with {OF_KINDS!r}: the service counts jobs of kinds under such names")


def _check_time(at: datetime) -> None:
    try:
        at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be between the years 1 and 9999 in UTC") from error


def _check_length(one: "StatsEvent | UpdateStatsArgs") -> None:
    """Refuse names that together are too long for an index of Postgres."""
    names = f"{one.subject}{one.event}{one.id}"
    if one.id is not None and 4 * len(names) > MOST_BYTES and len(names.encode()) > MOST_BYTES:
        raise ValueError(f"subject, event and id have more than {MOST_BYTES:,} bytes together")


Name = Annotated[str, Field(min_length=1, max_length=255)]
Subject = Annotated[Name, AfterValidator(Check(_check_subject))]
Number = Annotated[int, Field(strict=True, ge=-1_000_000_000, le=1_000_000_000)]
At = Annotated[Time, AfterValidator(Check(_check_time))]

_SUBJECT = "Whom or what to count for, e.g. a user or a page."
_EVENT = "What to count, e.g. `signup`."
_COUNT = "How many to add."
_AT = "When it happened. Default: when the job was created."
_ID = "Your own id: with the same subject and event it counts once, in whichever job."
_UNIQUE = "Who did it, e.g. a user's id, to count different people. Only a sketch of it is kept, not the name."


class StatsEvent(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: Subject = Field(description=_SUBJECT)
    event: Name = Field(description=_EVENT)
    count: Number = Field(1, description=_COUNT)
    at: At | None = Field(None, description=_AT)
    id: Name | None = Field(None, description=_ID)
    unique: Name | None = Field(None, description=_UNIQUE)

    _is_short = model_validator(mode="after")(Check(_check_length))


def _check_one_or_many(args: "UpdateStatsArgs") -> None:
    missing = [name for name in ("subject", "event") if getattr(args, name) is None]
    if not args.events and missing:
        told = [InitErrorDetails(type="missing", loc=(name,), input=args) for name in missing]
        raise ValidationError.from_exception_data("UpdateStatsArgs", told)  # names the place, as for any other kind
    if args.events and (args.count != 1 or args.names_one):
        raise ValueError("send either the fields of one event, or `events`")
    _check_length(args)


class UpdateStatsArgs(BaseModel):
    """One event, or up to 1,000 in `events`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"anyOf": [{"required": ["subject", "event"]}, {"required": ["events"]}]}
    )

    subject: Subject | None = Field(None, description=_SUBJECT)
    event: Name | None = Field(None, description=_EVENT)
    count: Number = Field(1, description=_COUNT)
    at: At | None = Field(None, description=_AT)
    id: Name | None = Field(None, description=_ID)
    unique: Name | None = Field(None, description=_UNIQUE)
    events: list[StatsEvent] = Field(
        [], max_length=MOST_EVENTS, description="Many events, instead of the fields above."
    )

    _one_or_many = model_validator(mode="after")(Check(_check_one_or_many))

    @property
    def names_one(self) -> bool:
        """Whether any field of a single event is there."""
        return any(one is not None for one in (self.subject, self.event, self.at, self.id, self.unique))

    def all_events(self) -> list[StatsEvent]:
        return self.events or [StatsEvent.model_construct(**{name: getattr(self, name) for name in _OF_ONE})]


_OF_ONE = tuple(StatsEvent.model_fields)


class UpdateStatsResult(BaseModel):
    counted: bool = Field(description="False when an earlier attempt of this job had counted already.")
    at: datetime = Field(description="When the event happened, or the first of many.")
    repeated: int = Field(0, description="Events left out because their `id` had counted before.")


@job("update_stats", timeout=30, max_attempts=10)
async def update_stats(ctx: Context, args: UpdateStatsArgs) -> UpdateStatsResult:
    """Add to counters by subject, event and time, exactly once for each job and `id`, however often it runs."""
    counts = [
        Count(one.subject, one.event, one.count, one.at or ctx.created_at, one.id, one.unique)
        for one in args.all_events()
    ]
    counted = await ctx.capability(Counters).count_once(ctx.job_id, counts)
    at = min(count.at for count in counts)
    return UpdateStatsResult(counted=counted is not None, at=at, repeated=counted.repeated if counted else 0)
