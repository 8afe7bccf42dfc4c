"""The pages of failures, and the question before a group is replayed; see `jobs/bulk_routes.py` for the rest."""

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Scope
from service.dashboard.failures.query import DEFAULT, SORTS, SPANS, Asked, Since
from service.dashboard.failures.reading import failed_jobs_of, read_failures, read_group
from service.dashboard.jobs.bulk import ACTIONS
from service.dashboard.jobs.bulk_request import TYPED_ABOVE, count_asked
from service.dashboard.page_route import page_router
from service.dashboard.permission import forbidden
from service.dashboard.shell import Page, PageDep
from service.ledger.deadline import in_time
from service.ledger.reads.failures import SortBy
from service.lifecycle.operations.job_filter import written_filter
from service.web.deps import Text

router = page_router()
actions = page_router(Scope.OPERATE)

# Jobs a second: kinder to a destination that was down than all at once.
_PACE = 50


@router.get("/failures")
async def show_failures(
    page: PageDep,
    since: Since = DEFAULT,
    kind: Annotated[Text | None, Query(max_length=255)] = None,
    q: Annotated[Text | None, Query(max_length=200)] = None,
    sort: SortBy = "jobs_failed",
) -> HTMLResponse:
    asked = Asked(since, kind or None, (q or "").strip() or None, sort)
    shown = await in_time(read_failures(page.resources.ledger, asked, page.now, sees_args=page.principal.sees_args))
    return await page.render("failures/list.html", title="Failures", section="failures", shown=shown, **_common(page))


@router.get("/failures/{fingerprint}")
async def show_group(page: PageDep, fingerprint: Text, since: Since = DEFAULT) -> HTMLResponse:
    sees_args, asked = page.principal.sees_args, Asked(since)
    shown = await in_time(read_group(page.resources.ledger, fingerprint, asked, page.now, sees_args=sees_args))
    title = f"{shown.row.title} · Failures"
    return await page.render(
        "failures/group.html", title=title, section="failures", shown=shown, asked=asked, **_common(page)
    )


@actions.get("/failures/{fingerprint}/replay")
async def ask_replay(page: PageDep, fingerprint: Text) -> Response:
    """Ask before a group is replayed: a dialog or, without a script, a page."""
    deed, wanted, ledger = ACTIONS["replay"], failed_jobs_of(fingerprint), page.resources.ledger
    asked = await in_time(count_asked(ledger, deed, wanted))
    shown = await in_time(read_group(ledger, fingerprint, Asked(), page.now))
    if not asked.count.number:
        detail = "None of its jobs has failed: they were replayed, or are past their retention."
        return page.toast("Nothing was changed.", detail=detail, tone="warning", back=f"/failures/{fingerprint}")
    values: dict[str, Any] = {
        "asked": asked,
        "row": shown.row,
        "filter": written_filter(wanted),
        "typed": asked.count.number > TYPED_ABOVE,
        "pace": _PACE,
        "takes_s": asked.count.number / _PACE,
    }
    if page.is_enhanced:
        return page.fragment("failures/_replay.html", **values)
    return await page.render("failures/replay.html", title="Replay a group", section="failures", **values)


def _common(page: Page) -> dict[str, Any]:
    settings = page.resources.settings
    return {
        "forbidden": forbidden(page.principal, Scope.OPERATE),
        "spans": SPANS,
        "sorts": SORTS,
        "kept_days": settings.retention_failed.days,
    }
