"""The audit: what operators did, to which target, and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter

from service.access.principal import Principal, Scope
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.trail.entries import Noted, TrailFilter
from service.trail.reads import list_actions
from service.trail.snapshots import OF_ARGS
from service.web.cursor import Text, decode, encode
from service.web.moments import Moment, day_or_moment

router = page_router(Scope.ADMIN)

PAGE = 50
_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])
# Principals that are neither keys nor users.
_ALONE = ("anybody", "bootstrap")
# Targets with a page whose path ends in the target's name or id.
_PAGES = {
    "job": "/jobs/",
    "flow": "/flows/",
    "lane": "/lanes/",
    "kind": "/kinds/",
    "operation": "/operations/",
    "schedule": "/schedules/",
    "worker": "/workers/",
}


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`older` is the cursor of the next page, if there is one. `is_later`: this is not the first page."""

    actions: Sequence[Noted]
    older: str | None
    is_later: bool


async def read_audit(ledger: Ledger, wanted: TrailFilter, principal: Principal) -> AuditPage:
    async with ledger.read() as connection:
        found = list(await list_actions(connection, wanted, PAGE + 1))
    last = found[PAGE - 1] if len(found) > PAGE else None
    return AuditPage(
        actions=[_seen(one, principal) for one in found[:PAGE]],
        older=None if last is None else encode([last.at.isoformat(), last.id]),
        is_later=wanted.beyond is not None,
    )


def _seen(noted: Noted, principal: Principal) -> Noted:
    if principal.sees_args:
        return noted
    return replace(noted, before=_hidden(noted.before), after=_hidden(noted.after))


def _hidden(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {name: "hidden" if name in OF_ARGS else value for name, value in part.items()}


def page_of(noted: Noted) -> str | None:
    """Return the path, up to the name, of a target's page; None if it has none."""
    return _PAGES.get(noted.target_type) if noted.target else None


async def _filter(
    actor: Text = "",
    action: Text = "",
    target: Text = "",
    target_type: Text = "",
    after: Text = "",
    before: Text = "",
    cursor: Annotated[str | None, Query()] = None,
) -> TrailFilter:
    """Read the filter; an empty field filters nothing."""
    beyond = decode(_cursor, cursor) if cursor else None
    actor = actor.strip()
    if actor and ":" not in actor and actor not in _ALONE:
        actor = f"user:{actor}"
    named = (actor or None, action.strip() or None, target_type.strip() or None, target.strip() or None)
    return TrailFilter(*named, day_or_moment(after), day_or_moment(before), beyond)


@router.get("/audit")
async def audit(page: PageDep, wanted: Annotated[TrailFilter, Depends(_filter)]) -> HTMLResponse:
    shown = await in_time(read_audit(page.resources.ledger, wanted, page.principal))
    return await page.render(
        "audit/list.html", title="Audit", section="audit", shown=shown, asked=_asked(page), page_of=page_of
    )


def _asked(page: Page) -> dict[str, str]:
    """Return the parameters of the filter that are set, as they were sent."""
    return {name: value for name, value in page.request.query_params.items() if value and name != "cursor"}
