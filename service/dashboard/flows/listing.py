"""What the list of flows shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping

from service.dashboard.cursors import cursor_of, place_of
from service.ledger.ledger import Ledger
from service.ledger.reads.flow_graphs import page_of_flows
from service.ledger.reads.flows import FlowCounts
from service.ledger.states import State
from service.words import counted

_SHOWN = 50
# In the order in which a bar shows them: done, under way, waiting, and what will never happen.
_ORDER = (
    State.SUCCEEDED,
    State.RUNNING,
    State.RETRYING,
    State.QUEUED,
    State.SCHEDULED,
    State.BLOCKED,
    State.FAILED,
    State.CANCELLED,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, from `start` to `start + size` of 100."""

    state: State
    start: float
    size: float


@dataclass(frozen=True, slots=True)
class FlowRow:
    id: str
    name: str | None
    state: State
    jobs: int
    succeeded: int
    bar: Sequence[Part]
    words: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class FlowsPage:
    """Flows, newest first; `older` is the cursor of the next page."""

    rows: Sequence[FlowRow]
    running: int
    failed: int
    older: str | None


async def read_flows(ledger: Ledger, cursor: str | None) -> FlowsPage:
    """Read a page of flows. Raises `BadCursor`."""
    async with ledger.read() as connection:
        page = await page_of_flows(connection, place_of(cursor), _SHOWN)
    rows = [_row(row, counts) for row, counts in page.flows]
    return FlowsPage(
        rows,
        running=sum(row.state is State.RUNNING for row in rows),
        failed=sum(row.state is State.FAILED for row in rows),
        older=cursor_of(rows[-1].created_at, rows[-1].id) if rows and page.has_more else None,
    )


def _row(flow: RowMapping, counts: FlowCounts) -> FlowRow:
    total = sum(counts.states.values())
    return FlowRow(
        id=flow["id"],
        name=flow["name"],
        state=counts.state,
        jobs=total,
        succeeded=counts.states.get(State.SUCCEEDED, 0),
        bar=bar_of(counts),
        words=states_text(counts),
        created_at=flow["created_at"],
        finished_at=counts.finished_at,
    )


def bar_of(counts: FlowCounts) -> Sequence[Part]:
    """Return the parts of a flow's bar, each as wide as its share of the jobs."""
    total, start = sum(counts.states.values()), 0.0
    parts = []
    for state in _ORDER:
        if count := counts.states.get(state, 0):
            size = 100 * count / total
            parts.append(Part(state, round(start, 2), round(size, 2)))
            start += size
    return parts


def states_text(counts: FlowCounts) -> str:
    """Say how many jobs are in each state."""
    told = [f"{counts.states[state]:,} {state}" for state in _ORDER if counts.states.get(state)]
    return f"{counted(sum(counts.states.values()), 'job')}: {', '.join(told)}" if told else "no jobs left"
