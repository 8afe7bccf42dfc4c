"""Schedules over HTTP: those of kinds, and those made at run time."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import from_json
from sqlalchemy import RowMapping

from service.api.jobs.actions import logged
from service.api.schedule_requests import ScheduleName, ScheduleRequest, read_schedule
from service.api.state import api_state_of
from service.ledger.deadline import in_time
from service.ledger.records.schedules import CatchUp
from service.ledger.records.ticked import Overlap, TickOutcome
from service.lifecycle.schedules.plan import Source
from service.lifecycle.schedules.schedules import View
from service.web.body import described
from service.web.cursor import NEXT_CURSOR, Text, decode, encode
from service.web.deps import LifecycleDep, PrincipalDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import GUARDS
from service.web.moments import Moment, ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], dependencies=GUARDS)

_name_cursor: TypeAdapter[Text] = TypeAdapter(Text)
_time_cursor: TypeAdapter[Moment] = TypeAdapter(Moment)
_ACTS = responses(401, 403, 404, 421, 422, 503, 507)


class TickOut(BaseModel):
    due_at: ShownMoment
    outcome: TickOutcome
    reason: str | None = Field(description="Why it was not fired, or `run now` where a user fired it out of turn.")
    job_id: str | None = Field(description="null: it was not fired.")
    cron: str = Field(description="The expression at that time.")

    @classmethod
    def of(cls, row: RowMapping) -> "TickOut":
        return cls(**{name: row[name] for name in cls.model_fields})


class ScheduleOut(BaseModel):
    name: str
    source: Source = Field(description="`code`: a kind's own `cron=`; `api`: made here.")
    kind: str
    args: Any = Field(description="As shown to readers: secrets masked. null: the defaults of the kind.")
    cron: str
    time_zone: str
    catch_up: CatchUp
    overlap: Overlap
    jitter: float
    start: ShownMoment | None
    end: ShownMoment | None
    options: dict[str, Any]
    paused: bool
    next: ShownMoment | None = Field(description="When it comes due next; null while it is paused, and after its end.")
    last: TickOut | None = Field(description="Its last tick, whatever became of it.")
    error: str | None = Field(description="Why its jobs could not run.")
    created_at: ShownMoment | None = Field(description="null for a kind's own.")
    updated_at: ShownMoment | None

    @classmethod
    def of(cls, view: View) -> "ScheduleOut":
        told = view.plan is not None and view.plan.source == "code"
        shown = _of_code(view) if told else _made(view)
        return cls(
            name=view.name,
            paused=view.row is not None and bool(view.row["paused"]),
            next=view.next,
            last=None if view.last is None else TickOut.of(view.last),
            error=view.error,
            **shown,
        )


class ScheduleList(BaseModel):
    schedules: list[ScheduleOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class NextTicks(BaseModel):
    next: list[ShownMoment]


class TickList(BaseModel):
    ticks: list[TickOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


def _of_code(view: View) -> dict[str, Any]:
    assert view.plan is not None
    plan = view.plan
    fixed: dict[str, Any] = {
        "start": None,
        "end": None,
        "options": {},
        "args": None,
        "created_at": None,
        "updated_at": None,
    }
    names = ("source", "kind", "cron", "catch_up", "overlap")
    return fixed | {name: getattr(plan, name) for name in names} | {"time_zone": "UTC", "jitter": 0.0}


def _made(view: View) -> dict[str, Any]:
    assert view.row is not None
    row = view.row
    same = ("kind", "cron", "time_zone", "catch_up", "overlap", "created_at", "updated_at")
    return {name: row[name] for name in same} | {
        "source": "api",
        "args": from_json(row["args"]),
        "options": from_json(row["options"]),
        "jitter": row["jitter_s"],
        "start": row["start_at"],
        "end": row["end_at"],
    }


_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": ScheduleOut, "description": "There was none of this name"}}


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422, 503)})
async def list_schedules(
    lifecycle: LifecycleDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> ScheduleList:
    """List the schedules by name: those of kinds that have `cron=`, and those made here."""
    after = decode(_name_cursor, cursor) if cursor else ""
    page = await in_time(lifecycle.schedules.page(after, limit))
    return ScheduleList(
        schedules=[ScheduleOut.of(view) for view in page.views],
        next_cursor=None if page.after is None else encode(page.after),
    )


@router.post("/{name:text}/pause", responses=_ACTS)
async def pause_schedule(name: ScheduleName, lifecycle: LifecycleDep, principal: PrincipalDep) -> ScheduleOut:
    """Fire no ticks until it is resumed. Its history tells which were missed; none is caught up."""
    with logged("pause_schedule", principal, schedule=name):
        await in_time(lifecycle.schedules.pause(name), writes=True)
    return ScheduleOut.of(await in_time(lifecycle.schedules.find(name)))


@router.post("/{name:text}/resume", responses=_ACTS)
async def resume_schedule(name: ScheduleName, lifecycle: LifecycleDep, principal: PrincipalDep) -> ScheduleOut:
    """Fire the ticks from now on."""
    with logged("resume_schedule", principal, schedule=name):
        await in_time(lifecycle.schedules.resume(name), writes=True)
    return ScheduleOut.of(await in_time(lifecycle.schedules.find(name)))


@router.post("/{name:text}/run", responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def run_schedule(name: ScheduleName, lifecycle: LifecycleDep, principal: PrincipalDep) -> ScheduleOut:
    """Enqueue its job at once, whether it is paused or not; `last` has the job's id. Its ticks stay as they are."""
    with logged("run_schedule", principal, schedule=name):
        own = await in_time(lifecycle.schedules.run(name), writes=True)
    view = await in_time(lifecycle.schedules.find(name))
    return ScheduleOut.of(view._replace(last=own))


@router.get("/{name:text}/next", responses={**UNCHANGED, **responses(401, 404, 421, 422, 503)})
async def next_ticks(
    name: ScheduleName, lifecycle: LifecycleDep, count: Annotated[int, Query(ge=1, le=100)] = 10
) -> NextTicks:
    """Tell when it comes due next, paused or not, without its jitter."""
    return NextTicks(next=await in_time(lifecycle.schedules.next(name, count)))


@router.get("/{name:text}/ticks", responses={**UNCHANGED, **responses(401, 404, 421, 422, 503)})
async def list_ticks(
    name: ScheduleName,
    lifecycle: LifecycleDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> TickList:
    """List what became of its ticks, the latest first: fired, skipped or missed, and why."""
    before = decode(_time_cursor, cursor) if cursor else None
    rows = await in_time(lifecycle.schedules.ticks(name, before, limit + 1))
    shown = [TickOut.of(row) for row in rows[:limit]]
    more = len(rows) > limit
    return TickList(ticks=shown, next_cursor=encode(shown[-1].due_at.isoformat()) if more else None)


@router.get("/{name:schedule}", responses={**UNCHANGED, **responses(401, 404, 421, 422, 503)})
async def get_schedule(name: ScheduleName, lifecycle: LifecycleDep) -> ScheduleOut:
    """Look up a schedule."""
    return ScheduleOut.of(await in_time(lifecycle.schedules.find(name)))


@router.put(
    "/{name:schedule}",
    responses={**_CREATED, **responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507)},
    openapi_extra=described(ScheduleRequest, required=True),
)
async def set_schedule(
    name: ScheduleName,
    request: Request,
    response: Response,
    resources: ResourcesDep,
    lifecycle: LifecycleDep,
    principal: PrincipalDep,
) -> ScheduleOut:
    """Make a schedule, or change it. Workers follow within two seconds; a pause stays as it is.

    Where its times are changed, none of the new ones before now has been missed.
    """
    said = await read_schedule(request, api_state_of(request).schedule_requests, resources, name)
    with logged("set_schedule", principal, schedule=name, kind=said.kind, cron=said.cron):
        is_new = await in_time(lifecycle.schedules.say(said), writes=True)
    if is_new:
        response.status_code = HTTPStatus.CREATED
    return ScheduleOut.of(await in_time(lifecycle.schedules.find(name)))


@router.delete("/{name:schedule}", status_code=204, responses=responses(401, 403, 404, 409, 421, 422, 503, 507))
async def delete_schedule(name: ScheduleName, lifecycle: LifecycleDep, principal: PrincipalDep) -> None:
    """Delete a schedule that was made here. Its jobs stay, and the history of its ticks."""
    with logged("delete_schedule", principal, schedule=name):
        await in_time(lifecycle.schedules.delete(name), writes=True)
