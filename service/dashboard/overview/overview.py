"""The overview's route."""

from collections.abc import Sequence
from typing import Any

from fastapi.responses import HTMLResponse

from service.access.principal import ANYBODY, Scope
from service.dashboard.overview.first_steps import read_first_steps
from service.dashboard.overview.narrowing import narrowed, seen
from service.dashboard.overview.rates import in_words
from service.dashboard.overview.reading import Standing
from service.dashboard.overview.verdict import Verdict, calm_words, verdict_of
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.dashboard.state import dashboard_state_of
from service.errors import LedgerUnavailable
from service.insight.of_workers import lost_together
from service.insight.troubles import Trouble

router = page_router()
# The prefix of keys of troubles that are about a group of failures.
_FAILURE = "failure:"


@router.get("/")
async def overview(page: PageDep) -> HTMLResponse:
    state = dashboard_state_of(page.request)
    troubles = lost_together(seen(await state.troubles.now(), page.principal))
    try:
        standing = (await state.standing.of([""]))[""]
        ticks = [] if page.principal.is_limited else (await state.ticks.of([""]))[""]
    except LedgerUnavailable:
        if not troubles or troubles[0].severity != "wrong":
            raise
        return await _show(page, verdict_of(troubles), status=503, it=None)
    if standing is None:
        return await page.render(
            "overview/empty.html",
            title="Overview",
            section="overview",
            troubles=troubles,
            is_open=page.principal == ANYBODY,
            steps=await read_first_steps(page),
            may_enqueue=page.principal.may(Scope.ENQUEUE),
        )
    return await _show(page, verdict_of(troubles), ticks=ticks, **_values(narrowed(standing, page.principal), troubles))


async def _show(page: Page, verdict: Verdict, *, status: int = 200, **values: Any) -> HTMLResponse:
    return await page.render(
        "overview/overview.html",
        title=verdict.title,
        section="overview",
        status=status,
        verdict=verdict,
        is_open=page.principal == ANYBODY,
        is_limited=page.principal.is_limited,
        **values,
    )


def _values(standing: Standing, troubles: Sequence[Trouble]) -> dict[str, Any]:
    """Return what the page shows about the present state."""
    spans = [(one.since, one.name) for one in troubles if one.since is not None and one.name is not None]
    return {
        "it": standing,
        "calm": calm_words(standing),
        "spans": spans,
        "growing": {one.key.removeprefix(_FAILURE) for one in troubles if one.key.startswith(_FAILURE)},
        "chart_words": in_words(
            standing.rates.minutes,
            [deploy.version for deploy in standing.deploys],
            [name for _, name in spans],
        ),
    }
