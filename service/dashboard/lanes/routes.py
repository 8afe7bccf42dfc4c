"""The routes of lanes: the list, one lane, its limits, and what can be done to it."""

from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import HTMLResponse

from service.access.principal import Scope
from service.dashboard import pausing
from service.dashboard.lanes.lane import read_lane
from service.dashboard.lanes.limits import LimitsForm
from service.dashboard.lanes.listing import MOST_LANES, read_lanes
from service.dashboard.page_route import page_router
from service.dashboard.rendering import segment
from service.dashboard.shell import Page, PageDep
from service.errors import LaneInvalid
from service.lane_rules import Rule, is_pattern
from service.lanes.lane_view import LaneView, said_of, target_of
from service.lanes.lanes import Change
from service.ledger.deadline import in_time
from service.ledger.reads.lanes import find_rule
from service.ledger.records.lanes import Said
from service.web.deps import Text
from service.web.forms import read_fields
from service.web.lane_requests import LaneKey, RuleKey

router = page_router()
actions = page_router(Scope.OPERATE)


@router.get("/lanes")
async def list_lanes(
    page: PageDep,
    key: Annotated[Text, Query(max_length=255)] = "",
    idle: bool = False,
    number: Annotated[int, Query(alias="page", ge=1, le=1000)] = 1,
) -> HTMLResponse:
    ledger = page.resources.ledger
    shown = await in_time(read_lanes(ledger, page.lanes, pattern=key.strip(), with_idle=idle, number=number))
    may = page.principal.may(Scope.OPERATE)
    return await page.render(
        "lanes/list.html", title="Lanes", section="lanes", shown=shown, most=MOST_LANES, spans=pausing.SPANS, may=may
    )


@router.get("/lanes/{key:lane}")
async def show_lane(page: PageDep, key: LaneKey) -> HTMLResponse:
    shown = await in_time(read_lane(page.resources.ledger, page.lanes, key))
    return await page.render(
        "lanes/lane.html",
        title=f"{key} · Lanes",
        section="lanes",
        shown=shown,
        waiting=[job for job in shown.waiting if page.principal.may_touch(job["kind"], job["queue"])],
        spans=pausing.SPANS,
        may=page.principal.may(Scope.OPERATE),
    )


@actions.post("/lanes/{key:text}/pause")
async def pause_lane(page: PageDep, key: LaneKey) -> Response:
    change = await pausing.pause(page, key)
    return _told(page, change, f"{key} is paused {pausing.span_words(change)}.")


@actions.post("/lanes/{key:text}/resume")
async def resume_lane(page: PageDep, key: LaneKey) -> Response:
    """Let a lane go on, whatever holds it: end a pause, or close the breaker and let it decide again."""
    view = await in_time(page.lanes.view(key))
    change = await pausing.resume(page, key) if view.pause is not None else None
    if view.breaker.state != "closed":
        async with page.operator.action("close_breaker", "lane", key, before=_breaker(view)) as entry:
            change = await in_time(page.lanes.close_breaker(key), writes=True)
            entry.after = _breaker(change.lane)
    if change is None:
        return page.toast(f"{key} is ready: there was nothing to resume.", back=_path(key))
    return _told(page, change, f"{key} goes on.")


@actions.post("/lanes/{key:text}/breaker")
async def force_breaker(page: PageDep, key: LaneKey) -> Response:
    """Force a breaker open or closed, or let it decide by itself again."""
    state = (await read_fields(page.request)).get("state", "auto")
    if is_pattern(key):
        raise LaneInvalid(f"A breaker can be forced only for one lane. {key!r} is a pattern: pause it instead.")
    said = Said(breaker_forced="open" if state == "open" else "closed" if state == "closed" else None)
    view = await in_time(page.lanes.view(key))
    async with page.operator.action("set", "lane", key, before=said_of(view)) as entry:
        change = await in_time(page.lanes.say(key, said), writes=True)
        entry.after = said_of(change.lane)
    words = {"open": "is forced open: it starts nothing", "closed": "is forced closed: it never opens"}
    return _told(page, change, f"The breaker of {key} {words.get(state, 'decides by itself again')}.")


@actions.post("/lanes/{key:text}/forget")
async def forget_lane(page: PageDep, key: RuleKey) -> Response:
    """Delete everything that was set for a lane or a pattern."""
    view = await in_time(page.lanes.view(key))
    async with page.operator.action("delete", *target_of(key), before=said_of(view)) as entry:
        await in_time(page.lanes.delete(key), writes=True)
        entry.after = said_of(await in_time(page.lanes.view(key)))
    return page.toast(f"The settings of {key} are deleted.", back="/lanes")


@router.get("/limits")
async def limits_form(page: PageDep, key: Annotated[Text, Query(max_length=255)] = "") -> HTMLResponse:
    rule = await in_time(_rule(page, key)) if key else None
    return await _limits_page(page, LimitsForm.of(key, rule))


@actions.post("/limits")
async def set_limits(page: PageDep) -> Response:
    form = LimitsForm.posted(await read_fields(page.request))
    said = form.said()
    if isinstance(said, LimitsForm):
        return await _limits_page(page, said)
    view = await in_time(page.lanes.view(form.key))
    async with page.operator.action("set", "lane", form.key, before=said_of(view)) as entry:
        change = await in_time(page.lanes.say(form.key, said), writes=True)
        entry.after = said_of(change.lane)
    words = f"The limits of {form.key} apply from the next start on."
    return page.toast(words, detail=_heard(change), back=_path(form.key))


async def _limits_page(page: Page, form: LimitsForm) -> HTMLResponse:
    status = 422 if form.errors else 200
    return await page.render("lanes/limits.html", title="Set limits · Lanes", section="lanes", status=status, form=form)


async def _rule(page: Page, key: str) -> Rule | None:
    async with page.resources.ledger.read() as connection:
        return await find_rule(connection, key)


def _told(page: Page, change: Change, words: str) -> Response:
    return page.toast(words, detail=_heard(change), back=_path(change.lane.key))


def _heard(change: Change) -> str | None:
    return None if change.is_applied else pausing.NOT_HEARD


def _path(key: str) -> str:
    return f"/lanes/{segment(key)}"


def _breaker(view: LaneView) -> dict[str, object]:
    return {"breaker": view.breaker.state, "forced": view.breaker.forced}
