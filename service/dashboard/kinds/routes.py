"""The routes of kinds: the list, one kind, its pause, and the form that enqueues a job of it."""

from collections.abc import Mapping
from typing import Any

import uuid_utils
from fastapi import Response
from fastapi.responses import HTMLResponse
from pydantic_core import from_json

from jobs import Kind
from service.access.principal import Scope
from service.dashboard import pausing, toasts
from service.dashboard.kinds.enqueue import Made, curl_of, enqueue
from service.dashboard.kinds.entries import choice_text, name_of
from service.dashboard.kinds.form import EnqueueForm, entry_id, form_like, new_form, posted_form
from service.dashboard.kinds.reading import MEASURES, read_kind, read_kinds
from service.dashboard.kinds.words import first_line, retry_words
from service.dashboard.page_route import page_router
from service.dashboard.rendering import segment
from service.dashboard.shell import Page, PageDep
from service.dashboard.toasts import Toast
from service.errors import JobNotFound, KindNotFound
from service.lanes.lanes import Change
from service.ledger.deadline import in_time
from service.ledger.reads.jobs import get_job
from service.web.deps import Text
from service.web.forms import read_fields

router = page_router()
actions = page_router(Scope.OPERATE)
forms = page_router(Scope.ENQUEUE)

# The labels of options, and the hint if they are left empty.
_LABELS = {
    "run_at": ("Run at", "at once"),
    "queue": ("Queue", ""),
    "max_attempts": ("Maximum attempts", ""),
    "timeout": ("Timeout, seconds", ""),
    "tags": ("Tags", "optional"),
    "lane": ("Lane", "optional"),
    "priority": ("Priority", ""),
    "unique_key": ("Unique key", "optional"),
}


@router.get("/kinds")
async def list_kinds(page: PageDep) -> HTMLResponse:
    shown = await in_time(read_kinds(page.resources, page.lanes, page.principal))
    return await page.render(
        "kinds/list.html",
        title="Kinds",
        section="kinds",
        shown=shown,
        first_line=first_line,
        may=page.principal.may(Scope.OPERATE),
        may_enqueue=page.principal.may(Scope.ENQUEUE),
    )


@router.get("/kinds/{name}")
async def show_kind(page: PageDep, name: Text) -> HTMLResponse:
    shown = await in_time(read_kind(page.resources, page.lanes, page.principal, name))
    return await page.render(
        "kinds/kind.html",
        title=f"{name} · Kinds",
        section="kinds",
        shown=shown,
        measures=MEASURES,
        retry=retry_words,
        spans=pausing.SPANS,
        may=page.principal.may(Scope.OPERATE),
        may_enqueue=page.principal.may(Scope.ENQUEUE),
    )


@actions.post("/kinds/{name}/pause")
async def pause_kind(page: PageDep, name: Text) -> Response:
    await in_time(read_kind(page.resources, page.lanes, page.principal, name))
    change = await pausing.pause(page, f"kind:{name}")
    return _told(page, change, name, f"{name} is paused {pausing.span_words(change)}.")


@actions.post("/kinds/{name}/resume")
async def resume_kind(page: PageDep, name: Text) -> Response:
    await in_time(read_kind(page.resources, page.lanes, page.principal, name))
    return _told(page, await pausing.resume(page, f"kind:{name}"), name, f"{name} goes on.")


def _told(page: Page, change: Change, name: str, words: str) -> Response:
    detail = None if change.is_applied else pausing.NOT_HEARD
    return page.toast(words, detail=detail, back=f"/kinds/{segment(name)}")


@forms.get("/kinds/{name}/enqueue")
async def enqueue_form(page: PageDep, name: Text, like: Text = "") -> HTMLResponse:
    """Show the form, either empty or with the args and options of the job `like`."""
    kind, queues = _kind(page, name), sorted(page.resources.known_queues)
    form = form_like(kind, queues, *await in_time(_job(page, kind, like))) if like else new_form(kind, queues)
    return await _form_page(page, kind, form.with_id(str(uuid_utils.uuid7())), like=like)


@forms.post("/kinds/{name}/enqueue")
async def post_form(page: PageDep, name: Text) -> Response:
    """Enqueue the job, or change the form as one of its buttons asks."""
    kind, form = await _posted(page, name)
    do, _, what = form.entries.get("do", "enqueue").partition(":")
    if do == "add":
        return await _form_page(page, kind, form.with_item(what))
    if do == "remove":
        return await _form_page(page, kind, form.without_item(what))
    if do in ("form", "json"):
        return await _form_page(page, kind, form.in_mode("json" if do == "json" else "form"))
    made = await enqueue(page, form)
    if isinstance(made, EnqueueForm):
        return await _form_page(page, kind, made, status=422)
    return toasts.keep(Toast(_words(made, name)), page.root, page.redirect(f"/jobs/{segment(made.id)}"))


@forms.post("/kinds/{name}/enqueue/preview")
async def preview(page: PageDep, name: Text) -> HTMLResponse:
    """Show what the form would send."""
    _, form = await _posted(page, name)
    return page.fragment("kinds/_preview.html", request=form.shown(), curl=curl_of(_base(page), form))


async def _posted(page: Page, name: str) -> tuple[Kind[Any, Any], EnqueueForm]:
    kind = _kind(page, name)
    return kind, posted_form(kind, sorted(page.resources.known_queues), await read_fields(page.request))


def _kind(page: Page, name: str) -> Kind[Any, Any]:
    """Return a kind that the caller may enqueue. Raises `KindNotFound`."""
    kind = page.resources.catalogue.get(name)
    if kind is None or not page.principal.may_touch(name, kind.queue):
        raise KindNotFound(f"There is no kind {name!r} that can be enqueued here.")
    return kind


async def _job(page: Page, kind: Kind[Any, Any], job_id: str) -> tuple[Any, Mapping[str, Any]]:
    """Return the args and the options of a job of this kind. Raises `JobNotFound`."""
    async with page.resources.ledger.read() as connection:
        row = await get_job(connection, job_id)
    if row is None or row["kind"] != kind.name or not page.principal.may_touch(row["kind"], row["queue"]):
        raise JobNotFound(f"There is no job {job_id!r} of the kind {kind.name}.")
    options = {name: row[name] for name in ("queue", "max_attempts", "lane", "priority")}
    options |= {"timeout": row["timeout_s"], "tags": from_json(row["tags"])}
    given = {name: value for name, value in options.items() if value is not None}
    return from_json(row["args"]) if page.principal.sees_args else {}, given


async def _form_page(
    page: Page, kind: Kind[Any, Any], form: EnqueueForm, *, status: int = 200, like: str = ""
) -> HTMLResponse:
    shown = await in_time(read_kind(page.resources, page.lanes, page.principal, kind.name))
    return await page.render(
        "kinds/enqueue.html",
        title=f"Enqueue {kind.name} · Kinds",
        section="kinds",
        status=status,
        kind=kind,
        form=form.for_page(),
        request=form.shown(),
        curl=curl_of(_base(page), form),
        shown=shown,
        like=like,
        measures=MEASURES,
        retry=retry_words,
        first_line=first_line,
        labels=_LABELS,
        name_of=name_of,
        entry_id=entry_id,
        choice_text=choice_text,
    )


def _base(page: Page) -> str:
    return str(page.request.base_url).rstrip("/")


def _words(made: Made, name: str) -> str:
    return f"{name} is enqueued." if made.is_new else "A live job already holds the unique key: here it is."
