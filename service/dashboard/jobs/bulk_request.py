"""Which jobs a bulk action is for, how many, and the request for the operation that does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from service.access.limits import restricted
from service.access.principal import Principal
from service.dashboard.change_form import changes_in
from service.dashboard.jobs.bulk import Deed
from service.errors import ArgsInvalid, Refused
from service.ledger.ledger import Ledger
from service.ledger.reads.estimates import MOST_COUNTED, Count, count_matching
from service.ledger.reads.listing import Filter
from service.ledger.reads.searching import search
from service.ledger.states import State
from service.lifecycle.operations.job_filter import written_filter
from service.requests.operation_requests import OPERATION, OperationRequest
from service.requests.parsing import parse

# Above this count, the number must be typed.
TYPED_ABOVE = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """An action on the jobs of `wanted` that allow it; `count` is how many.

    `at_least`: more may be found beyond the jobs that were searched.
    """

    deed: Deed
    wanted: Filter
    count: Count
    at_least: bool = False


def narrowed(deed: Deed, wanted: Filter, ids: Sequence[str], principal: Principal) -> Filter | None:
    """Return the selected jobs, or all that match, that allow the action. None if there are none.

    Raises `Refused` if every job would be included.
    """
    meant = Filter(ids=tuple(ids)) if ids else replace(wanted, after=None, ascending=False)
    if meant == Filter():
        raise Refused("Nothing was changed. Select or filter jobs first: this would act on all of them.")
    meant = restricted(principal, meant)
    states = [state for state in deed.states if not meant.states or state in meant.states]
    return replace(meant, states=tuple(map(State, states))) if states else None


async def count_asked(ledger: Ledger, deed: Deed, wanted: Filter | None) -> Asked:
    """Count the jobs that an action would apply to."""
    if wanted is None:
        return Asked(deed, Filter(), Count(0))
    async with ledger.read() as connection:
        if not wanted.is_searched:
            return Asked(deed, wanted, await count_matching(connection, wanted))
        found = await search(connection, wanted, MOST_COUNTED)
    return Asked(deed, wanted, Count(len(found.found)), at_least=found.reached is not None)


def operation_request(deed: Deed, wanted: Filter, form: Mapping[str, str]) -> tuple[OperationRequest, str]:
    """Return the request for an operation, and its filter as JSON. Raises `ArgsInvalid`."""
    filter_sent = written_filter(wanted)
    body: dict[str, Any] = {"action": deed.action}
    if name := form.get("name", "").strip():
        body["name"] = name
    if rate := form.get("rate", "").strip():
        body["rate"] = rate_of(rate)
    if deed.action == "change":
        body["change"] = changes_in(form, {})
        if not body["change"]:
            raise ArgsInvalid("Nothing was changed: fill in at least one field.")
    written = to_json(body).decode()
    return parse(OPERATION, f'{written[:-1]},"filter":{filter_sent}}}'.encode(), {}), filter_sent


def rate_of(text: str) -> float:
    """Return the requested pace, in jobs a second. Raises `ArgsInvalid`."""
    try:
        return float(text)
    except ValueError as error:
        raise ArgsInvalid(f"Nothing was changed: the pace must be a number, not {text[:50]!r}.") from error
