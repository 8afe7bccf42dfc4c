"""The page of jobs: which there are, and what state each is in."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, Response

from service.access.limits import restricted
from service.access.principal import Scope
from service.dashboard.jobs import query as queries
from service.dashboard.jobs.bulk import ACTIONS
from service.dashboard.jobs.reading import counts_all, read_jobs_page
from service.dashboard.jobs.rows import IN_SHORT
from service.dashboard.page_route import page_router
from service.dashboard.shell import PageDep
from service.dashboard.state import dashboard_state_of
from service.ledger.deadline import in_time
from service.ledger.states import State
from service.web.deps import Text
from service.web.jobs.filters import FilterDep

router = page_router()


@router.get("/jobs")
async def jobs(
    page: PageDep,
    wanted: FilterDep,
    newer: str | None = None,
    at: Annotated[int, Query(ge=0, description="How many rows come before this page")] = 0,
    add: Annotated[str | None, Query(description="The filter whose form is open")] = None,
    all_: Annotated[bool, Query(alias="all", description="All jobs that match are selected")] = False,
) -> HTMLResponse:
    wanted = restricted(page.principal, wanted)
    states = (await dashboard_state_of(page.request).states.of([""]))[""] if counts_all(wanted) else None
    it = await in_time(
        read_jobs_page(
            page.resources.ledger, page.lanes, wanted, states, newer=newer, sees_args=page.principal.sees_args
        )
    )
    return await page.render(
        "jobs/jobs.html",
        title="Jobs",
        section="jobs",
        it=it,
        query=queries.Query.of(page.request.query_params.multi_items()),
        wanted=wanted,
        at=at if it.newer else 0,
        add=add if add in queries.OFFERED else None,
        all_selected=all_,
        offered=queries.OFFERED,
        spans=queries.SPANS,
        short=IN_SHORT,
        all_states=tuple(State),
        actions=ACTIONS,
        kinds=sorted(page.resources.catalogue),
        queues=page.resources.settings.queues,
        may_operate=page.principal.may(Scope.OPERATE),
        may_enqueue=page.principal.may(Scope.ENQUEUE),
    )


@router.get("/jobs/filter")
async def add_filter(
    page: PageDep,
    request: Request,
    _wanted: FilterDep,
    field: Annotated[str, Query(max_length=100)],
    _path: Annotated[Text, Query(alias="path")] = "",
    _value: Annotated[Text, Query(alias="value")] = "",
    _basis: Annotated[str, Query(alias="basis")] = "",
    _last: Annotated[str, Query(alias="last")] = "",
    _after: Annotated[str, Query(alias="after")] = "",
    _before: Annotated[str, Query(alias="before")] = "",
) -> Response:
    """Redirect to the list with one more filter: small forms need no script, and addresses stay clean."""
    form = {name: request.query_params.get(name, "") for name in queries.FORM_FIELDS}
    sent = [pair for pair in request.query_params.multi_items() if pair[0] not in queries.FORM_FIELDS]
    query = queries.added(queries.Query.of(sent), form | {"field": field}, page.now)
    return page.redirect("/jobs", **query.fields)
