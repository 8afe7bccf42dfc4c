"""Reads flows page by page, and the jobs of one flow."""

from datetime import datetime

from pydantic import TypeAdapter

from service.api.flow_out import FlowJobOut, FlowList, FlowOut, FlowSummary, summary
from service.errors import FlowNotFound
from service.ledger.ledger import Ledger
from service.ledger.reads import flows as queries
from service.ledger.reads.flow_graphs import page_of_flows
from service.trail.reads import last_change
from service.web.cursor import Text, decode, encode
from service.web.jobs.callback_out import CallbackOut
from service.web.moments import Moment

MOST_JOBS = 1_000

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
        replay = await last_change(connection, "replay", "flow", flow_id)
    return FlowOut(
        **summary(flow, counts),
        replayed_at=None if replay is None else replay.at,
        callbacks=[CallbackOut.of(callback) for callback in callbacks],
        jobs=[FlowJobOut.of(row, parents[row["id"]]) for row in page],
        next_cursor=_cursor(page[-1]["listed_at"], page[-1]["id"]) if len(rows) > limit else None,
    )


async def read_flows(ledger: Ledger, cursor: str | None, limit: int) -> FlowList:
    """Read a page of flows, newest first. Raises `BadCursor`."""
    after = decode(_place, cursor) if cursor else None
    async with ledger.read() as connection:
        page = await page_of_flows(connection, after, limit)
    shown = [FlowSummary(**summary(row, counts)) for row, counts in page.flows]
    last = shown[-1] if shown and page.has_more else None
    return FlowList(flows=shown, next_cursor=None if last is None else _cursor(last.created_at, last.id))


async def read_counts(ledger: Ledger, flow_id: str) -> FlowSummary:
    """Read a flow without its jobs. Raises `FlowNotFound`."""
    async with ledger.read() as connection:
        flow = await queries.get_flow(connection, flow_id)
        if flow is None:
            raise _not_found(flow_id)
        return FlowSummary(**summary(flow, (await queries.counts_of(connection, [flow_id]))[flow_id]))


def _not_found(flow_id: str) -> FlowNotFound:
    return FlowNotFound(f"There is no flow {flow_id!r}. Its jobs may be past their retention.")


def _cursor(at: datetime, last_id: str) -> str:
    return encode([at.isoformat(), last_id])
