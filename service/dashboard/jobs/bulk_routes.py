"""Actions on many jobs: the question before them, with the count, and the operation that follows."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from pydantic_core import from_json

from service.access.limits import check_queue, restricted_filter
from service.access.principal import Scope
from service.dashboard.jobs.bulk import ACTIONS, Deed
from service.dashboard.jobs.bulk_request import TYPED_ABOVE, count_asked, narrowed, operation_request
from service.dashboard.page_route import page_router
from service.dashboard.shell import PageDep
from service.dashboard.text import count_text
from service.errors import Refused
from service.ledger.deadline import in_time
from service.ledger.operations import Action
from service.ledger.reads.listing import Filter
from service.lifecycle.operations.job_filter import JobFilter, written_filter
from service.requests.operation_requests import new_operation
from service.web.forms import read_fields
from service.web.jobs.filters import FilterDep
from service.web.operation_out import OperationOut
from service.web.state import state_of
from service.words import counted

router = page_router(Scope.OPERATE)

_MOST_DIGITS = 18


@router.get("/jobs/bulk")
async def ask(
    page: PageDep,
    wanted: FilterDep,
    action: Action,
    ids: Annotated[list[str], Query(alias="id", default_factory=list, max_length=1000)],
) -> Response:
    """Ask before an action on the selected jobs, or on all that match: a dialog or, without a script, a page."""
    deed = ACTIONS[action]
    meant = narrowed(deed, wanted, ids, page.principal)
    asked = await in_time(count_asked(page.resources.ledger, deed, meant))
    if meant is None or not asked.count.number:
        return page.toast("Nothing was changed.", detail=f"{deed.why_not}.", tone="warning")
    values: dict[str, Any] = {
        "asked": asked,
        "deed": deed,
        "filter": written_filter(meant),
        "told": _told(meant, ids),
        "typed": asked.count.number > TYPED_ABOVE,
        "queues": page.resources.settings.queues,
    }
    if page.is_enhanced:
        return page.fragment("jobs/bulk_dialog.html", **values)
    return await page.render("jobs/bulk.html", title=f"{deed.verb} jobs", section="jobs", **values)


@router.post("/jobs/bulk")
async def act(page: PageDep, request: Request) -> Response:
    """Start the operation. A count above 100 has been typed."""
    form = await read_fields(request)
    deed = _deed(form.get("action", ""))
    _check_typed(form)
    wanted = _meant(form)
    sent, filter_sent = operation_request(deed, wanted, form)
    state = state_of(request)
    if sent.sets_lane:
        await page.lanes.refuse_beside_stock_worker()
    check_queue(page.principal, (sent.change or {}).get("queue"))
    within = restricted_filter(page.principal, filter_sent)
    new = new_operation(page.resources, state.requests.changes, sent, within, page.principal.id)

    async def start() -> OperationOut:
        async with page.operator.action("start", "operation", new.id, does=new.action, filter=new.filter) as entry:
            entry.after = started = OperationOut.of(await page.lifecycle.operations.accept(new), ())
        return started

    started = await in_time(start(), writes=True)
    link = ("Watch it", f"/operations/{started.id}")
    return page.toast(f"{deed.doing} {_how_many(form)}.", link=link, back="/jobs")


def _meant(form: dict[str, str]) -> Filter:
    try:
        return JobFilter.model_validate_json(form.get("filter", "")).filter()
    except ValidationError as error:
        raise Refused("Nothing was changed. The form does not say which jobs: open it again.") from error


def _deed(action: str) -> Deed:
    if action not in ACTIONS:
        raise Refused(f"There is no action {action[:50]!r}.")
    return ACTIONS[action]


def _check_typed(form: dict[str, str]) -> None:
    """Refuse an action on many jobs whose number was not typed: without a script, no form checks it."""
    count = form.get("count", "")
    if not count.isdecimal() or len(count) > _MOST_DIGITS:
        raise Refused("Nothing was changed. The form must say for how many jobs it is: open it again.")
    typed = "".join(filter(str.isdecimal, form.get("confirm", "")))
    if int(count) > TYPED_ABOVE and typed != count:
        raise Refused(f"Nothing was changed. To confirm, type the number of jobs: {int(count):,}.")


def _how_many(form: dict[str, str]) -> str:
    count = int(form["count"])
    return f"{count_text(count, about=True)} jobs" if form.get("about") else counted(count, "job")


def _told(wanted: Filter, ids: Sequence[str]) -> str:
    """Say the filter in a line."""
    if ids:
        return f"{counted(len(ids), 'job')} selected"
    sent = from_json(written_filter(wanted))
    return "; ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in sent.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{path} = {values[0]}" for path, values in value.items())
    return str(value)
