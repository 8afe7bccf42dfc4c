"""The pages of schedules, and what can be done to them."""

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Scope
from service.dashboard.page_route import page_router
from service.dashboard.permission import forbidden
from service.dashboard.rendering import segment
from service.dashboard.schedules import form as forms
from service.dashboard.schedules.form import ScheduleForm
from service.dashboard.schedules.listing import read_schedules, when_of
from service.dashboard.schedules.one import read_schedule
from service.dashboard.shell import Page, PageDep
from service.errors import NotFound, PostludeError, Refused
from service.ledger.deadline import in_time
from service.lifecycle.schedules.schedules import View
from service.requests.schedule_requests import LONGEST_REASON, check_name, parse_schedule
from service.web.deps import Text
from service.web.forms import read_fields
from service.web.schedule_paths import ScheduleName
from service.web.state import state_of

router = page_router()
actions = page_router(Scope.OPERATE)

_Cursor = Annotated[str | None, Query(max_length=400)]
_Short = Annotated[Text, Query(max_length=200)]


@router.get("/schedules")
async def list_schedules(page: PageDep, cursor: _Cursor = None) -> HTMLResponse:
    shown = await in_time(read_schedules(page.lifecycle.schedules, page.resources.ledger, cursor, page.now))
    return await page.render(
        "schedules/list.html", title="Schedules", section="schedules", shown=shown, cursor=cursor, **_may(page)
    )


@router.get("/schedule-form")
async def schedule_form(page: PageDep, name: _Short = "", kind: _Short = "") -> HTMLResponse:
    """Show the form for the schedule `name`, or for a new one."""
    form = forms.new_form(sorted(page.resources.catalogue), kind=kind)
    return await _form_page(page, forms.form_of(await in_time(page.lifecycle.schedules.find(name))) if name else form)


@router.get("/schedule-form/when")
async def schedule_when(page: PageDep, cron: _Short = "", time_zone: _Short = "UTC") -> HTMLResponse:
    """Say what an expression means while it is typed."""
    return page.fragment("schedules/_when.html", when=forms.when(cron, time_zone, page.now), time_zone=time_zone)


@actions.post("/schedule-form")
async def set_schedule(page: PageDep) -> Response:
    form = forms.posted_form(await read_fields(page.request))
    try:
        return await _said(page, form)
    except (Refused, NotFound) as error:
        return await _form_page(page, form.refused(error))


@router.get("/schedules/{name:schedule}")
async def show_schedule(page: PageDep, name: ScheduleName, cursor: _Cursor = None) -> HTMLResponse:
    shown = await in_time(read_schedule(page.lifecycle.schedules, page.resources.ledger, name, cursor, page.now))
    return await page.render(
        "schedules/schedule.html",
        title=f"{name} · Schedules",
        section="schedules",
        shown=shown,
        cursor=cursor,
        longest_reason=LONGEST_REASON,
        **_may(page),
    )


@actions.post("/schedules/{name:text}/pause")
async def pause_schedule(page: PageDep, name: ScheduleName) -> Response:
    """Pause a schedule, for the reason that the form gives, if any."""
    reason = (await read_fields(page.request)).get("reason", "").strip()[:LONGEST_REASON] or None
    async with page.operator.action("pause", "schedule", name) as entry:
        entry.before = _facts(await in_time(page.lifecycle.schedules.find(name)))
        pause = page.lifecycle.schedules.pause(name, by=page.principal.id, reason=reason)
        await in_time(pause, writes=True)
        entry.after = _facts(await in_time(page.lifecycle.schedules.find(name)))
    link = None if reason else ("Say why", _path(name))
    detail = "Ticks due meanwhile are missed, and not caught up."
    return page.toast(f"{name} is paused.", detail=detail, link=link, back=_path(name))


@actions.post("/schedules/{name:text}/resume")
async def resume_schedule(page: PageDep, name: ScheduleName) -> Response:
    async with page.operator.action("resume", "schedule", name) as entry:
        entry.before = _facts(await in_time(page.lifecycle.schedules.find(name)))
        await in_time(page.lifecycle.schedules.resume(name), writes=True)
        entry.after = _facts(await in_time(page.lifecycle.schedules.find(name)))
    return page.toast(f"{name} ticks again.", detail="Missed ticks are not caught up.", back=_path(name))


@actions.post("/schedules/{name:text}/run")
async def run_schedule(page: PageDep, name: ScheduleName) -> Response:
    async with page.operator.action("run", "schedule", name) as entry:
        tick = await in_time(page.lifecycle.schedules.run(name), writes=True)
        entry.after = {"job": tick["job_id"]}
    job = ("Open its job", f"/jobs/{segment(tick['job_id'])}") if tick["job_id"] else None
    return page.toast(f"{name} runs now, out of turn.", link=job, back=_path(name))


@actions.post("/schedules/{name:text}/delete")
async def delete_schedule(page: PageDep, name: ScheduleName) -> Response:
    async with page.operator.action("delete", "schedule", name) as entry:
        entry.before = _facts(await in_time(page.lifecycle.schedules.find(name)))
        await in_time(page.lifecycle.schedules.delete(name), writes=True)
    return page.redirect("/schedules")


async def _said(page: Page, form: ScheduleForm) -> Response:
    """Make or change the schedule in a form."""
    name, state, schedules = check_name(form.name), state_of(page.request), page.lifecycle.schedules
    view = await in_time(_found(page, name))
    if form.is_new and view is not None:
        return await _form_page(page, _taken(form))
    if view is not None and not page.principal.sees_args:
        form = form.keeping_options(view)
    kept = forms.kept_args(form, view, page.resources.ledger.vault, sees_args=page.principal.sees_args)
    said = parse_schedule(state.schedule_requests, page.resources, name, form.body(kept))
    async with page.operator.action("set", "schedule", name) as entry:
        entry.before = None if view is None else _facts(view)
        is_new = await in_time(schedules.say(said), writes=True)
        entry.after = _facts(await in_time(schedules.find(name)))
    return page.toast(f"{name} is {'made' if is_new else 'changed'}.", detail="Effective within 2 s.", back=_path(name))


async def _found(page: Page, name: str) -> View | None:
    try:
        return await page.lifecycle.schedules.find(name)
    except NotFound:
        return None


def _taken(form: ScheduleForm) -> ScheduleForm:
    return form.refused(
        PostludeError(f"There is already a schedule {form.name!r}. Choose another name, or edit that one.")
    )


async def _form_page(page: Page, form: ScheduleForm) -> HTMLResponse:
    return await page.render(
        "schedules/form.html",
        title=f"{'New schedule' if form.is_new else form.name} · Schedules",
        section="schedules",
        status=422 if form.errors else 200,
        form=form,
        kinds=[page.resources.catalogue[name] for name in sorted(page.resources.catalogue)],
        zones=forms.zones(),
        catch_up=forms.CATCH_UP,
        overlap=forms.OVERLAP,
        when=forms.when(form.text("cron"), form.text("time_zone"), page.now),
        time_zone=form.text("time_zone"),
        **_may(page),
    )


def _may(page: Page) -> dict[str, Any]:
    return {"forbidden": forbidden(page.principal, Scope.OPERATE), "sees_args": page.principal.sees_args}


def _path(name: str) -> str:
    return f"/schedules/{segment(name)}"


def _facts(view: View) -> dict[str, object]:
    """Return what the trail records of a schedule: what readers see of it."""
    cron, zone, kind = when_of(view)
    facts: dict[str, object] = {"kind": kind, "cron": cron, "time_zone": zone}
    if view.row is None:
        return facts | {"paused": False}
    kept = ("args", "options", "catch_up", "overlap", "jitter_s", "start_at", "end_at", "paused_reason")
    return facts | {"paused": bool(view.row["paused"])} | {name: view.row[name] for name in kept}
