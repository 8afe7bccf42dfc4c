"""`GET /v1/stats/series` and `/top`: counts by time."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from jobs.stats.kind import OF_KINDS
from service import agreed_time
from service.access.principal import Scope
from service.ledger.deadline import in_time
from service.ledger.reads.figures import Quantiles
from service.stats.asked import Span, refused, span_of
from service.stats.buckets import MOST_BUCKETS, Size
from service.stats.kind_series import MEASURES, DurationSeries, read_durations, read_events
from service.stats.reads import Wanted, top_subjects
from service.stats.series import Series, check_minutes, read_series
from service.web.deps import ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.problems import responses

router = APIRouter()

_RESPONSES = {**UNCHANGED, **responses(401, 403, 421, 422, 503)}
From = Annotated[
    Text | None,
    Query(
        alias="from",
        description="A time (RFC 3339), or a day or time of the zone `tz`: `2026-01-31`. Default: a day before `to`.",
    ),
]
To = Annotated[Text | None, Query(alias="to", description="The end, exclusive. Default: now.")]
Zone = Annotated[Text, Query(max_length=100, description="Whose calendar to use: a name in the IANA database.")]


class Taken(BaseModel):
    """How long it took, in seconds; null if there was nothing to measure."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class BucketOut(Taken):
    start: AwareDatetime = Field(description="When the bucket begins, by the clocks of `tz`.")
    count: int
    unique: int | None = Field(None, description="How many different ids were counted, to about 1 %.")


class SeriesOut(Taken):
    buckets: list[BucketOut] = Field(description=f"First to last, none left out; at most {MOST_BUCKETS:,}.")
    total: int = Field(description="Of all these buckets together.")
    unique: int | None = Field(None, description="Different ids in all buckets together.")


class SubjectOut(BaseModel):
    subject: str
    count: int


class TopOut(BaseModel):
    subjects: list[SubjectOut] = Field(description="Highest counts first.")


@router.get("/v1/stats/series", dependencies=guards(Scope.READ), responses=_RESPONSES, response_model_exclude_none=True)
async def get_series(
    resources: ResourcesDep,
    subject: Annotated[
        Text | None, Query(description=f"One subject; `{OF_KINDS}<kind>`: jobs of a kind, `{OF_KINDS}`: of all kinds.")
    ] = None,
    event: Annotated[
        Text | None,
        Query(
            description="One event. Of kinds: `enqueued`, `started`, `succeeded`, `failed` …, `wait`, `run`, `total`."
        ),
    ] = None,
    since: From = None,
    until: To = None,
    bucket: Size = Size.HOUR,
    tz: Zone = "UTC",
    unique: Annotated[bool, Query(description="Also count the different ids that events named as `unique`.")] = False,
) -> SeriesOut:
    """Count events by time: of a subject, of an event, or of both.

    Buckets are whole: the first is the one that `from` is in. Days, weeks (from Monday) and months are those of
    the calendar of `tz`, so a day may have 23 or 25 hours. Minutes are kept for 48 hours.
    """
    now = agreed_time.now()
    span = span_of(since, until, tz, now)
    check_minutes(bucket, span, now)
    _check_names(subject, event, bucket, unique=unique)

    async def read() -> Series | DurationSeries:
        async with resources.ledger.read(streams=True) as connection:
            if subject is None or event is None or not subject.startswith(OF_KINDS):
                return await read_series(connection, bucket, span, subject, event, unique=unique)
            kind = subject.removeprefix(OF_KINDS)
            read_it = read_durations if event in MEASURES else read_events
            return await read_it(connection, bucket, span, kind, event)

    found = await in_time(read())
    return _durations_shown(found, span) if isinstance(found, DurationSeries) else _shown(found, span)


@router.get("/v1/stats/top", dependencies=guards(Scope.READ), responses=_RESPONSES)
async def get_top(
    resources: ResourcesDep,
    event: Text,
    since: From = None,
    until: To = None,
    tz: Zone = "UTC",
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> TopOut:
    """Find the subjects with the highest counts of an event, in the quarters of an hour that overlap the time."""
    span = span_of(since, until, tz, agreed_time.now())

    async def read() -> list[tuple[str, int]]:
        async with resources.ledger.read() as connection:
            return await top_subjects(connection, Wanted(None, event, *span.quarters), limit)

    return TopOut(subjects=[SubjectOut(subject=subject, count=count) for subject, count in await in_time(read())])


def _check_names(subject: str | None, event: str | None, bucket: Size, *, unique: bool) -> None:
    is_of_kinds = subject is not None and subject.startswith(OF_KINDS)
    if subject is None and event is None:
        raise refused("subject", "Name a subject, an event or both.")
    if is_of_kinds and event is None:
        raise refused("event", "Name the event: `succeeded`, `failed`, `wait` or `run`, for example.")
    if unique and (is_of_kinds or bucket is Size.MINUTE):
        raise refused("unique", "Different ids are counted only for `update_stats`, in buckets of 15 minutes or more.")


def _shown(found: Series, span: Span) -> SeriesOut:
    uniques: Sequence[int | None] = found.uniques or [None] * len(found.counts)
    buckets = [
        BucketOut(start=start.astimezone(span.zone), count=count, unique=unique)
        for start, count, unique in zip(found.bounds[:-1], found.counts, uniques, strict=True)
    ]
    return SeriesOut(buckets=buckets, total=sum(found.counts), unique=found.unique)


def _durations_shown(found: DurationSeries, span: Span) -> SeriesOut:
    buckets = [
        BucketOut(start=start.astimezone(span.zone), count=one.count, **_taken(one))
        for start, one in zip(found.bounds[:-1], found.buckets, strict=True)
    ]
    return SeriesOut(buckets=buckets, total=found.whole.count, **_taken(found.whole))


def _taken(one: Quantiles) -> dict[str, float | None]:
    return {"mean": one.mean, "p50": one.p50, "p95": one.p95, "p99": one.p99}
