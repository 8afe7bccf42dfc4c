"""Schedules over HTTP: the kinds' own, and schedules made at run time."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import from_json
from sqlalchemy import RowMapping

from service.access.principal import Principal, Scope
from service.api.state import api_state_of
from service.errors import ScheduleNotFound
from service.ledger.deadline import in_time
from service.ledger.records.schedules import CatchUp
from service.ledger.records.ticked import Overlap, TickOutcome
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.schedules.plan import Source
from service.lifecycle.schedules.schedules import View
from service.requests.schedule_requests import PauseOfSchedule, ScheduleRequest, parse_pause, parse_schedule
from service.trail import Operator
from service.web.body import described, read_body
from service.web.cursor import NEXT_CURSOR, Text, decode, encode
from service.web.deps import LifecycleDep, OperatorDep, PrincipalDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.moments import Moment, ShownMoment
from service.web.problems import responses
from service.web.room import MIB
from service.web.schedule_paths import ScheduleName
from service.web.state import state_of

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

_name_cursor: TypeAdapter[Text] = TypeAdapter(Text)
_time_cursor: TypeAdapter[Moment] = TypeAdapter(Moment)
_ACTS = responses(401, 403, 404, 421, 422, 503, 507)
_OF_PAUSE = ("paused_at", "paused_by", "paused_reason")


class TickOut(BaseModel):
    due_at: ShownMoment
    outcome: TickOutcome
    reason: str | None = Field(description="Why it was not fired, or `run now` if a user fired it out of turn.")
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
    paused_at: ShownMoment | None
    paused_by: str | None = Field(description="The principal who paused it.")
    paused_reason: str | None = Field(description="Why, in their words.")
    next: ShownMoment | None = Field(description="When it is due next; null while it is paused, and after its end.")
    last: TickOut | None = Field(description="Its last tick, whatever became of it.")
    error: str | None = Field(description="Why its jobs could not run.")
    created_at: ShownMoment | None = Field(description="null for a kind's own.")
    updated_at: ShownMoment | None
    args_hidden: bool = Field(False, description="Args and metadata are hidden from the caller.")

    def shown_to(self, principal: Principal) -> "ScheduleOut":
        """Return it without what the principal may not see."""
        if principal.sees_args:
            return self
        options = {name: value for name, value in self.options.items() if name != "metadata"}
        return self.model_copy(update={"args": None, "options": options, "args_hidden": True})

    @classmethod
    def of(cls, view: View) -> "ScheduleOut":
        told = view.plan is not None and view.plan.source == "code"
        shown = _of_code(view) if told else _made(view)
        return cls(
            name=view.name,
            paused=view.row is not None and bool(view.row["paused"]),
            **{name: None if view.row is None else view.row[name] for name in _OF_PAUSE},
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


_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": ScheduleOut, "description": "It did not exist before"}}


@router.get("", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def list_schedules(
    lifecycle: LifecycleDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> ScheduleList:
    """List the schedules by name: the ones of kinds with `cron=`, and the ones made here."""
    after = decode(_name_cursor, cursor) if cursor else ""
    page = await in_time(lifecycle.schedules.page(after, limit))
    return ScheduleList(
        schedules=[ScheduleOut.of(view).shown_to(principal) for view in page.views],
        next_cursor=None if page.after is None else encode(page.after),
    )


@router.post(
    "/{name:text}/pause",
    dependencies=guards(Scope.OPERATE),
    responses=responses(400, 401, 403, 404, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(PauseOfSchedule, required=False),
)
async def pause_schedule(
    name: ScheduleName,
    request: Request,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
    principal: PrincipalDep,
) -> ScheduleOut:
    """Fire no ticks until it is resumed. Its history shows which were missed; none is caught up.

    A body may give the reason. Pausing a paused schedule changes the reason.
    """
    with state_of(request).room.stay() as stay:
        reason = parse_pause(await read_body(request, MIB, stay))
    pause = partial(lifecycle.schedules.pause, by=operator.principal.id, reason=reason)
    return (await _act(operator, "pause", lifecycle, name, pause)).shown_to(principal)


@router.post("/{name:text}/resume", dependencies=guards(Scope.OPERATE), responses=_ACTS)
async def resume_schedule(
    name: ScheduleName, lifecycle: LifecycleDep, operator: OperatorDep, principal: PrincipalDep
) -> ScheduleOut:
    """Fire the ticks from now on."""
    return (await _act(operator, "resume", lifecycle, name, lifecycle.schedules.resume)).shown_to(principal)


@router.post(
    "/{name:text}/run", dependencies=guards(Scope.OPERATE), responses=responses(401, 403, 404, 409, 421, 422, 503, 507)
)
async def run_schedule(
    name: ScheduleName, lifecycle: LifecycleDep, operator: OperatorDep, principal: PrincipalDep
) -> ScheduleOut:
    """Enqueue its job at once, even if it is paused; `last` has the job's id. Its ticks stay as they are."""

    async def run() -> ScheduleOut:
        async with operator.action("run", "schedule", name) as entry:
            own = await lifecycle.schedules.run(name)
            entry.after = {"job": own["job_id"]}
        view = await lifecycle.schedules.find(name)
        return ScheduleOut.of(view._replace(last=own))

    return (await in_time(run(), writes=True)).shown_to(principal)


async def _act(
    operator: Operator, action: str, lifecycle: Lifecycle, name: str, act: Callable[[str], Awaitable[object]]
) -> ScheduleOut:
    """Change a schedule; return it as it is now."""

    async def acted() -> ScheduleOut:
        before = ScheduleOut.of(await lifecycle.schedules.find(name))
        async with operator.action(action, "schedule", name, before=before) as entry:
            await act(name)
            entry.after = after = ScheduleOut.of(await lifecycle.schedules.find(name))
        return after

    return await in_time(acted(), writes=True)


@router.get(
    "/{name:text}/next",
    dependencies=guards(Scope.READ),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def next_ticks(
    name: ScheduleName, lifecycle: LifecycleDep, count: Annotated[int, Query(ge=1, le=100)] = 10
) -> NextTicks:
    """Return when it is due next, paused or not, without its jitter."""
    return NextTicks(next=await in_time(lifecycle.schedules.next(name, count)))


@router.get(
    "/{name:text}/ticks",
    dependencies=guards(Scope.READ),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def list_ticks(
    name: ScheduleName,
    lifecycle: LifecycleDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> TickList:
    """List what became of its ticks, latest first: fired, skipped or missed, and why."""
    before = decode(_time_cursor, cursor) if cursor else None
    rows = await in_time(lifecycle.schedules.ticks(name, before, limit + 1))
    shown = [TickOut.of(row) for row in rows[:limit]]
    more = len(rows) > limit
    return TickList(ticks=shown, next_cursor=encode(shown[-1].due_at.isoformat()) if more else None)


@router.get(
    "/{name:schedule}",
    dependencies=guards(Scope.READ),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_schedule(name: ScheduleName, lifecycle: LifecycleDep, principal: PrincipalDep) -> ScheduleOut:
    """Look up a schedule."""
    return ScheduleOut.of(await in_time(lifecycle.schedules.find(name))).shown_to(principal)


@router.put(
    "/{name:schedule}",
    dependencies=guards(Scope.OPERATE),
    responses={**_CREATED, **responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507)},
    openapi_extra=described(ScheduleRequest, required=True),
)
async def set_schedule(
    name: ScheduleName,
    request: Request,
    response: Response,
    resources: ResourcesDep,
    lifecycle: LifecycleDep,
    operator: OperatorDep,
) -> ScheduleOut:
    """Make or change a schedule. Workers follow within two seconds; a pause stays as it is.

    If its times change, no new tick from before now counts as missed.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        said = parse_schedule(state.schedule_requests, resources, name, await read_body(request, MIB, stay))

    async def set_it() -> ScheduleOut:
        before = await _found(lifecycle, name)
        async with operator.action("set", "schedule", name, before=before) as entry:
            if await lifecycle.schedules.say(said):
                response.status_code = HTTPStatus.CREATED
            entry.after = after = ScheduleOut.of(await lifecycle.schedules.find(name))
        return after

    return await in_time(set_it(), writes=True)


async def _found(lifecycle: Lifecycle, name: str) -> ScheduleOut | None:
    try:
        return ScheduleOut.of(await lifecycle.schedules.find(name))
    except ScheduleNotFound:
        return None


@router.delete(
    "/{name:schedule}",
    dependencies=guards(Scope.OPERATE),
    status_code=204,
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def delete_schedule(name: ScheduleName, lifecycle: LifecycleDep, operator: OperatorDep) -> None:
    """Delete a schedule that was made here. Its jobs and the history of its ticks stay."""

    async def delete() -> None:
        before = ScheduleOut.of(await lifecycle.schedules.find(name))
        async with operator.action("delete", "schedule", name, before=before):
            await lifecycle.schedules.delete(name)

    await in_time(delete(), writes=True)
