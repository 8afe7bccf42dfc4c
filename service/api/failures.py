"""Failures over HTTP: failed attempts in groups of the same kind, error type and place."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from service.access.principal import Principal, Scope
from service.errors import FailureNotFound
from service.ledger.deadline import in_time
from service.ledger.reads.failures import (
    MOST_GROUPS,
    FailureGroup,
    SortBy,
    failure_series,
    find_group,
    groups,
)
from service.ledger.reads.figures import step_start
from service.ledger.records.merged import FIGURES_KEPT
from service.resources import Resources
from service.web.deps import PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.moments import Moment, ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/failures", tags=["failures"])

_DAY = timedelta(days=1)
_STEPS = 48
_SHORTEST_STEP, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_SINCE = "Count from this time on; counts are kept for 60 days. Default: a day ago."


class FailureBucket(BaseModel):
    start: ShownMoment
    count: int


class FailureOut(BaseModel):
    fingerprint: str = Field(description="Filters `GET /v1/jobs` and operations by the latest failure of the jobs.")
    kind: str = Field(description="What the jobs count as.")
    error_type: str
    message: str = Field(description="Of the first failure.")
    place: str | None = Field(description="`file:line` of the innermost frame that is not a library's.")
    destination: str | None = Field(description="The lane of the jobs' kind, such as `host:example.com`; `*`: several.")
    first_seen: ShownMoment
    last_seen: ShownMoment
    count: int = Field(description="Failed attempts since `since`, and jobs refused before any attempt.")
    jobs_failed: int = Field(description="Jobs that ended with one of these failures.")
    series: list[FailureBucket]


class FailureList(BaseModel):
    since: ShownMoment
    failures: list[FailureOut]


@router.get(
    "", dependencies=guards(Scope.READ, narrowed=True), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)}
)
async def list_failures(
    resources: ResourcesDep,
    principal: PrincipalDep,
    kind: Annotated[Text | None, Query(description="What the jobs count as")] = None,
    since: Annotated[Moment | None, Query(description=_SINCE)] = None,
    q: Annotated[Text | None, Query(max_length=200, description="Text in message, error type, place or kind")] = None,
    sort: Annotated[SortBy, Query(description="Most failures first, or latest first")] = "failures",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> FailureList:
    """List the groups of recent failures. Failures with the same kind, error type and place are one group."""
    return await in_time(_list(resources, principal, kind=kind, since=since, text=q, sort=sort, limit=limit))


@router.get(
    "/{fingerprint}",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_failure(
    fingerprint: Text,
    resources: ResourcesDep,
    principal: PrincipalDep,
    since: Annotated[Moment | None, Query(description=_SINCE)] = None,
) -> FailureOut:
    """Return one group, even if it has not failed in the given time."""
    return await in_time(_find(resources, principal, fingerprint, since))


async def _list(
    resources: Resources,
    principal: Principal,
    *,
    kind: str | None,
    since: datetime | None,
    text: str | None,
    sort: SortBy,
    limit: int,
) -> FailureList:
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        start = max(since or now - _DAY, now - FIGURES_KEPT)
        found = await groups(connection, since=start, kind=kind, text=text, sort=sort, limit=MOST_GROUPS)
        shown = [one for one in found if _may_see(principal, one)][:limit]
        step = _step(start, now)
        names = [one.fingerprint for one in shown]
        series = await failure_series(connection, names, since=start, until=now, step=step)
    return FailureList(since=start, failures=[_out(one, series[one.fingerprint], start, step) for one in shown])


async def _find(resources: Resources, principal: Principal, fingerprint: str, since: datetime | None) -> FailureOut:
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        start = max(since or now - _DAY, now - FIGURES_KEPT)
        group = await find_group(connection, fingerprint, since=start)
        if group is None or not _may_see(principal, group):
            raise FailureNotFound(f"There is no group of failures {fingerprint!r} in the last 60 days.")
        step = _step(start, now)
        series = await failure_series(connection, [fingerprint], since=start, until=now, step=step)
    return _out(group, series[fingerprint], start, step)


def _may_see(principal: Principal, group: FailureGroup) -> bool:
    """The queues of a group's jobs are not known."""
    return principal.queues is None and principal.may_touch(group.kind, "")


def _step(since: datetime, now: datetime) -> timedelta:
    """Choose steps of whole minutes or hours: at most 48 steps."""
    wanted = max((now - since) / _STEPS, _SHORTEST_STEP)
    unit = _HOUR if wanted > _HOUR / 2 else _SHORTEST_STEP
    return -(-wanted // unit) * unit


def _out(group: FailureGroup, counts: Sequence[int], since: datetime, step: timedelta) -> FailureOut:
    start = step_start(since, step)
    return FailureOut(
        fingerprint=group.fingerprint,
        kind=group.kind,
        error_type=group.error_type,
        message=group.message,
        place=group.place,
        destination=group.destination,
        first_seen=group.first_at,
        last_seen=group.latest_at,
        count=group.failures,
        jobs_failed=group.jobs_failed,
        series=[FailureBucket(start=start + place * step, count=count) for place, count in enumerate(counts)],
    )
