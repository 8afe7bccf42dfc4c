"""The shell of every page: what a route gets as `page`, and how it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from service.access.principal import ANYBODY, Principal, Role, Scope
from service.dashboard import rendering, toasts
from service.dashboard.rendering import Here
from service.dashboard.sections import MORE, SECTIONS, Count, counted, entries
from service.dashboard.state import DashboardState, dashboard_state_of
from service.dashboard.toasts import Toast
from service.errors import LedgerUnavailable
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.trail import Operator
from service.web.deps import operator_of
from service.web.session import csrf_of
from service.web.state import state_of

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it, browsers send forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
VERSION = version("postlude")
_KEPT = ":/%#?=@[]!$&'()*+,;"
_STRANGER = Principal("stranger", "not signed in", frozenset())


@dataclass(frozen=True, slots=True)
class Page:
    """What a page works with. `now` is this process's clock when the request arrived."""

    request: Request
    resources: Resources
    lifecycle: Lifecycle
    lanes: Lanes
    principal: Principal
    now: datetime

    @property
    def root(self) -> str:
        """The prefix under which the browser sees us."""
        root: str = self.request.scope.get("root_path", "")
        return root

    @property
    def is_enhanced(self) -> bool:
        """Whether our script asks, which puts the answer into the open page."""
        return "hx-request" in self.request.headers

    @property
    def is_strangers(self) -> bool:
        """Whether the caller has to sign in first."""
        return self.principal == _STRANGER

    @property
    def operator(self) -> Operator:
        """The caller as an operator: `async with page.operator.action("cancel", "job", job_id, before=...)`."""
        return operator_of(self.request)

    def url(self, path: str, **query: object) -> str:
        """Return the address of one of our paths, under the prefix."""
        return rendering.address(self.root, path, query)

    async def render(
        self, template: str, *, title: str, section: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Fill in a page. `title` is the window's, `section` the key of one of `sections.py`."""
        counts = await self._counts()
        shown = entries(MORE, counts, self.principal)
        toast = toasts.of(self.request)
        shell = {
            "title": title,
            "section": section,
            "sections": entries(SECTIONS, counts, self.principal),
            "more": shown,
            "more_counts": [one.count for one in shown if one.count],
            "environment": self.resources.settings.environment,
            "version": VERSION,
            "who": _who(self.principal),
            "toast": toast.parts if toast else None,
        }
        html = rendering.render(template, values | shell, self._here())
        answer = HTMLResponse(html, status, headers=HEADERS)
        if toast:
            toasts.forget(answer, self.root)
        return answer

    def fragment(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill in part of a page, for a script that asked for it."""
        return HTMLResponse(rendering.render(template, values, self._here()), status, headers=HEADERS)

    def toast(
        self,
        words: str,
        *,
        detail: str | None = None,
        link: tuple[str, str] | None = None,
        tone: str = "fine",
        status: int = 200,
        back: str | None = None,
    ) -> Response:
        """Answer an action: say what happened, on the present page or, without a script, on the page `back`.

        `link` is a label and a path. The parts of the open page reload by themselves.
        """
        toast = Toast(words, detail, link, tone)
        if self.is_enhanced:
            html = rendering.render("shell/toast.html", {"toast": toast.parts}, self._here())
            return HTMLResponse(html, status, headers=HEADERS | {"HX-Trigger": "changed"})
        return toasts.keep(toast, self.root, self.redirect(back or toasts.way_back(self.request, self.root)))

    def redirect(self, path: str, **query: object) -> Response:
        """Send the caller to one of our paths."""
        address = self.url(path, **query)
        if self.is_enhanced:
            # Quoted as Starlette quotes `Location`: a header holds no other characters.
            return Response(status_code=204, headers=HEADERS | {"HX-Redirect": quote(address, safe=_KEPT)})
        return RedirectResponse(address, 303, headers=HEADERS)

    async def _counts(self) -> Mapping[str, Count]:
        """Return what needs attention, for callers who may see it."""
        if not self.principal.may(Scope.READ):
            return {}
        state = dashboard_state_of(self.request)
        return counted(await state.troubles.counts()) | await _under_way(state)

    def _here(self) -> Here:
        return Here(self.root, self.now, csrf_of(self.request))


async def _under_way(state: DashboardState) -> dict[str, Count]:
    """Count the operations under way; if the ledger does not answer, the page is shown without the count."""
    try:
        count = (await state.under_way.of([""]))[""]
    except LedgerUnavailable:
        return {}
    return {"operations": Count(count, "running", "under way")} if count else {}


@dataclass(frozen=True, slots=True)
class Who:
    """The caller as the top bar shows it."""

    name: str
    role: str | None
    signed_in: bool


def _who(principal: Principal) -> Who:
    """Name the caller; a caller who needs no key is nobody in particular."""
    if principal == ANYBODY:
        return Who("open", None, signed_in=False)
    role = next((role for role in Role if role.scopes == principal.scopes), None)
    return Who(principal.name, role, signed_in=principal != _STRANGER)


def page_of(request: Request) -> Page:
    """Return the page object of a route. A caller whom no guard has recognised sees no section."""
    state = state_of(request)
    principal = request.scope.get("state", {}).get("principal", _STRANGER)
    return Page(request, state.resources, state.lifecycle, state.lanes, principal, datetime.now(UTC))


async def _page(request: Request) -> Page:
    return page_of(request)


PageDep = Annotated[Page, Depends(_page)]
