"""Lanes over HTTP: the limits that jobs share, and what waits and runs under them."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter

from service.access.principal import Scope
from service.api import pauses
from service.api.pauses import changed, later
from service.errors import LaneInvalid
from service.lane_rules import BreakerState, Forced, is_pattern
from service.lanes.lane_view import LaneView, said_of, target_of
from service.ledger.deadline import in_time
from service.web.body import described
from service.web.cursor import NEXT_CURSOR, Text, decode, encode
from service.web.deps import LanesDep, OperatorDep
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.lane_requests import LaneKey, LaneRequest, PauseRequest, RuleKey, lane_request
from service.web.moments import ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/lanes", tags=["lanes"])

_cursor: TypeAdapter[Text] = TypeAdapter(Text)
_WRITES = responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507)


class RateOut(BaseModel):
    limit: int
    per: float = Field(description="Seconds.")


class BreakerOut(BaseModel):
    state: BreakerState = Field(description="`open` starts nothing, `half_open` waits for the end of one probe job.")
    forced: Forced | None = Field(description="What a caller has forced; null: it decides by itself.")
    until: ShownMoment | None = Field(description="When an open breaker lets a job try.")
    failures: int | None = Field(
        description="Failures in a row that say something about the destination, since it last closed or opened; null"
        " without Redis."
    )
    reason: str | None = Field(description="Why it opened.")


class LaneOut(BaseModel):
    """A lane with the limits that apply to it now, whoever set them; or a pattern, with what was set for it."""

    key: str
    concurrency: int | None = Field(description="How many of its jobs run at once.")
    rate: RateOut | None = Field(description="How many of its jobs may start in a period of time.")
    order: Literal["strict"] | None
    paused: bool
    paused_until: ShownMoment | None = Field(description="null while it is paused means until it is resumed.")
    breaker: BreakerOut
    waiting: int | None = Field(description="Jobs that are scheduled, queued or retrying; null for a pattern.")
    running: int | None = Field(description="null for a pattern.")

    @classmethod
    def of(cls, lane: LaneView) -> "LaneOut":
        rate = lane.limits.rate
        return cls(
            key=lane.key,
            concurrency=lane.limits.concurrency,
            rate=None if rate is None else RateOut(limit=rate[0], per=rate[1]),
            order="strict" if lane.limits.strict else None,
            paused=lane.pause is not None,
            paused_until=None if lane.pause is None else lane.pause.paused_until,
            breaker=BreakerOut(**lane.breaker._asdict()),
            waiting=lane.waiting,
            running=lane.running,
        )


class LaneList(BaseModel):
    lanes: list[LaneOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": LaneOut, "description": "Nothing was set for it before"}}


@router.get("", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def list_lanes(
    lanes: LanesDep,
    key: Annotated[Text, Query(description="Lanes and patterns whose keys begin with this")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> LaneList:
    """List the lanes with jobs that have not ended, and all lanes and patterns with any setting, by key."""
    after = decode(_cursor, cursor) if cursor else ""
    page = await in_time(lanes.page(key, after, limit))
    return LaneList(
        lanes=[LaneOut.of(lane) for lane in page.lanes],
        next_cursor=None if page.after is None else encode(page.after),
    )


@router.post(
    "/{key:text}/pause",
    dependencies=guards(Scope.OPERATE),
    responses={**later(LaneOut), **_WRITES},
    openapi_extra=described(PauseRequest, required=False),
)
async def pause_lane(
    key: LaneKey, request: Request, response: Response, lanes: LanesDep, operator: OperatorDep
) -> LaneOut:
    """Pause a lane, or all lanes that a pattern matches, for a while or until it is resumed.

    Running jobs go on. Waiting jobs stay queued, which costs them nothing.
    """
    return LaneOut.of((await pauses.pause(request, response, lanes, operator, key)).lane)


@router.post(
    "/{key:text}/resume",
    dependencies=guards(Scope.OPERATE),
    responses={**later(LaneOut), **responses(401, 403, 409, 421, 422, 503, 507)},
)
async def resume_lane(key: LaneKey, response: Response, lanes: LanesDep, operator: OperatorDep) -> LaneOut:
    """End the pause of a lane or a pattern. Refused with 409 if a pattern pauses the lane: resume the pattern."""
    return LaneOut.of((await pauses.resume(response, lanes, operator, key)).lane)


@router.get(
    "/{key:lane}", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)}
)
async def get_lane(key: LaneKey, lanes: LanesDep) -> LaneOut:
    """Look up a lane that has any setting, or any job that is still kept."""
    return LaneOut.of(await in_time(lanes.find(key)))


@router.put(
    "/{key:lane}",
    dependencies=guards(Scope.OPERATE),
    responses={**_CREATED, **later(LaneOut), **_WRITES},
    openapi_extra=described(LaneRequest, required=True),
)
async def set_lane(
    key: LaneKey, request: Request, response: Response, lanes: LanesDep, operator: OperatorDep
) -> LaneOut:
    """Set the limits of a lane, or of all lanes that a pattern matches. They apply from the next start on.

    For each limit the lane's own comes first, then the most specific pattern's, then the one sent with the latest job,
    then the kind's. The pattern with the most text besides its `*` is the most specific one.
    """
    wanted = await lane_request(request)
    if is_pattern(key) and wanted.breaker is not None:
        raise LaneInvalid(f"A breaker can be forced only for one lane. {key!r} is a pattern: pause it instead.")
    said = wanted.said()
    change = await changed(response, lanes, operator, ("set", key), lambda: lanes.say(key, said))
    if change.is_new and change.is_applied:
        response.status_code = HTTPStatus.CREATED
    return LaneOut.of(change.lane)


@router.delete(
    "/{key:lane}",
    dependencies=guards(Scope.OPERATE),
    status_code=204,
    responses=responses(401, 403, 404, 421, 422, 503, 507),
)
async def delete_lane(key: RuleKey, lanes: LanesDep, operator: OperatorDep) -> None:
    """Delete what was set for a lane or a pattern: limits, a pause, a forced breaker. Its jobs stay.

    The keys `kind:<name>` and `queue:<name>` end the pause of a kind or a queue that no longer exists.
    """

    async def delete() -> None:
        async with operator.action("delete", *target_of(key), before=said_of(await lanes.view(key))) as entry:
            await lanes.delete(key)
            entry.after = said_of(await lanes.view(key))

    await in_time(delete(), writes=True)
