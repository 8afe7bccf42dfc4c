"""Flows read page by page: of flows, and of the jobs of one."""

from datetime import datetime
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.api.callback_out import CallbackOut
from service.api.flow_out import FlowJobOut, FlowList, FlowOut, FlowSummary, summary
from service.errors import FlowNotFound
from service.ledger.ledger import Ledger
from service.ledger.reads import flows as queries
from service.web.cursor import Text, decode, encode
from service.web.moments import Moment

MOST_JOBS = 1_000
# Each flow of a list is counted: a page ends with the flows that exceed this many jobs.
_MOST_COUNTED = 20_000
_COUNTED_AT_ONCE = 10

_place: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


async def read_flow(ledger: Ledger, flow_id: str, cursor: str | None = None, limit: int = MOST_JOBS) -> FlowOut:
    """Read a flow with a page of its jobs. Raises `FlowNotFound` and `BadCursor`."""
    after = decode(_place, cursor) if cursor else None
    async with ledger.read() as connection:
        flow = await queries.get_flow(connection, flow_id)
        if flow is None:
            raise _not_found(flow_id)
        counts = (await queries.counts_of(connection, [flow_id]))[flow_id]
        callbacks = (await queries.callbacks_of(connection, [flow_id]))[flow_id]
        rows = await queries.jobs_of_flow(connection, flow_id, after, limit + 1)
        page = rows[:limit]
        parents = await queries.parents_in_flow(connection, flow_id, [row["id"] for row in page])
    return FlowOut(
        **summary(flow, counts),
        callbacks=[CallbackOut.of(callback) for callback in callbacks],
        jobs=[FlowJobOut.of(row, parents[row["id"]]) for row in page],
        next_cursor=_cursor(page[-1]["listed_at"], page[-1]["id"]) if len(rows) > limit else None,
    )


async def read_flows(ledger: Ledger, cursor: str | None, limit: int) -> FlowList:
    """Read a page of flows, the newest first. Raises `BadCursor`."""
    after = decode(_place, cursor) if cursor else None
    async with ledger.read() as connection:
        page = await _read_page(connection, after, limit)
    last = page.flows[-1] if page.flows else None
    return FlowList(
        flows=page.flows,
        next_cursor=_cursor(last.created_at, last.id) if last is not None and page.has_more else None,
    )


class _Page(NamedTuple):
    flows: list[FlowSummary]
    has_more: bool


async def _read_page(connection: AsyncConnection, after: tuple[datetime, str] | None, limit: int) -> _Page:
    rows = await queries.list_flows(connection, after, limit + 1)
    shown: list[FlowSummary] = []
    counted = 0
    for start in range(0, min(len(rows), limit), _COUNTED_AT_ONCE):
        some = rows[start : min(start + _COUNTED_AT_ONCE, limit)]
        counts = await queries.counts_of(connection, [row["id"] for row in some])
        shown += [FlowSummary(**summary(row, counts[row["id"]])) for row in some]
        counted += sum(sum(one.states.values()) for one in counts.values())
        if counted > _MOST_COUNTED:
            break
    return _Page(shown, len(rows) > len(shown))


async def check_flow(ledger: Ledger, flow_id: str) -> None:
    """Raise `FlowNotFound` for a flow that there is not."""
    async with ledger.read() as connection:
        if await queries.get_flow(connection, flow_id) is None:
            raise _not_found(flow_id)


def _not_found(flow_id: str) -> FlowNotFound:
    return FlowNotFound(f"There is no flow {flow_id!r}. Its jobs may be past their retention.")


def _cursor(at: datetime, last_id: str) -> str:
    return encode([at.isoformat(), last_id])
