"""What the page of jobs shows, read at once: a page of the list, how many match, and how many of them in each state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.jobs.rows import ArgPart, parts_of
from service.lanes.lanes import Lanes
from service.lanes.reasons import Reason
from service.ledger.ledger import Ledger
from service.ledger.reads.estimates import Count, count_matching, count_states_matching
from service.ledger.reads.listing import Filter
from service.ledger.reads.pages import Page, read_page
from service.ledger.states import State
from service.web.cursor import Text, decode, encode
from service.web.jobs.list_cursor import cursor_after
from service.web.moments import Moment

ROWS = 50
# How many jobs a page searches, of which few may match.
_MOST_LOOKED = 3_000

_place: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job of the list; `reason` is why it waits, if it does. `args` is None if they are hidden."""

    job: RowMapping
    reason: Reason | None
    args: Sequence[ArgPart] | None


@dataclass(frozen=True, slots=True)
class JobsPage:
    """A page of the list. `newer` and `older` are cursors, None if there is no more.

    `matching` is None if nothing counts the matches, as in a search inside jobs. Then `searched` says how
    many jobs this page searched. `all` are the matches in any state.
    """

    rows: Sequence[JobRow]
    tabs: "Tabs"
    all: Count | None
    matching: Count | None
    searched: int | None
    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class Tabs:
    """How many jobs match the filter in each state, whatever states it names; None where that would take long.

    `before_search`: a search inside jobs does not count, only the other filters do.
    """

    states: Mapping[State, Count | None]
    before_search: bool = False

    @property
    def are_complete(self) -> bool:
        return None not in self.states.values()

    def within(self, states: Sequence[str]) -> Count | None:
        """Add up some states, all of them if none is named; None if one was not counted."""
        told = [self.states[State(state)] for state in states or tuple(State)]
        known = [one for one in told if one is not None]
        return Count(sum(one.number for one in known), any(one.about for one in known)) if known == told else None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of a list in its order, and whether there are more on either side."""

    page: Page
    has_newer: bool
    has_older: bool

    @property
    def is_whole(self) -> bool:
        return not self.has_newer and not self.has_older


async def read_jobs_page(
    ledger: Ledger,
    lanes: Lanes,
    wanted: Filter,
    states: Mapping[State, Count] | None,
    *,
    newer: str | None = None,
    sees_args: bool = True,
) -> JobsPage:
    """Read a page of the jobs that match: the one before the cursor `newer`, or else the one that `wanted` asks for.

    `states` are of all jobs, if `counts_all`. Raises `BadCursor`.
    """
    async with ledger.read() as connection:
        stretch = await _stretch(connection, wanted, newer)
        rows = stretch.page.rows
        tabs = await _tabs(connection, wanted, states, stretch)
        matching = await _matching(connection, wanted, tabs, stretch)
    reasons = await lanes.waiting_for.reasons_of(rows)
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    # A search may continue although this page found nothing.
    older = (stretch.page.last or _place_of(last)) if stretch.has_older else None
    return JobsPage(
        rows=[
            JobRow(row, why[0] if why else None, parts_of(row["args"]) if sees_args else None)
            for row, why in zip(rows, reasons, strict=True)
        ],
        tabs=tabs,
        all=tabs.within(()) if matching is None or wanted.states else matching,
        matching=matching,
        searched=stretch.page.searched,
        newer=encode([first["listed_at"].isoformat(), first["id"]]) if stretch.has_newer and first else None,
        older=None if older is None else cursor_after(wanted, *older),
    )


async def _stretch(connection: AsyncConnection, wanted: Filter, newer: str | None) -> _Stretch:
    if newer is not None:
        backwards = replace(wanted, after=decode(_place, newer), ascending=not wanted.ascending)
        page = await read_page(connection, backwards, ROWS, looks=_MOST_LOOKED)
        if page.rows and page.last is not None:
            return _Stretch(page._replace(rows=page.rows[::-1], last=None), has_newer=True, has_older=True)
        wanted = replace(wanted, after=None)  # fewer than a page are newer: show the first page
    page = await read_page(connection, wanted, ROWS, looks=_MOST_LOOKED)
    return _Stretch(page, has_newer=wanted.after is not None, has_older=page.last is not None)


def counts_all(wanted: Filter) -> bool:
    """Whether the counters of a list are of all jobs: only a state, or a search inside jobs, narrows it."""
    return _of_tabs(wanted) == Filter()


def _of_tabs(wanted: Filter) -> Filter:
    """Return the part of a filter that counters follow: each stands for a state, and a search would take too long."""
    return replace(wanted, states=(), after=None, ascending=False, args=(), metadata=(), text=None)


async def _tabs(
    connection: AsyncConnection, wanted: Filter, states: Mapping[State, Count] | None, stretch: _Stretch
) -> Tabs:
    """Count by state: in the rows if they are all there are, without a look at the ledger if `states` are known."""
    if stretch.is_whole and not wanted.states:
        shown = Counter(State(row["state"]) for row in stretch.page.rows)
        return Tabs({state: Count(shown[state]) for state in State})
    if states is None:
        counted = await count_states_matching(connection, _of_tabs(wanted))
        return Tabs(
            {state: None if count is None else Count(count) for state, count in counted.items()},
            before_search=wanted.is_searched,
        )
    return Tabs(states, before_search=wanted.is_searched)


async def _matching(connection: AsyncConnection, wanted: Filter, tabs: Tabs, stretch: _Stretch) -> Count | None:
    """Count the matches, unless the counters tell, or the whole list is on the page."""
    if stretch.is_whole:
        return Count(len(stretch.page.rows))
    if stretch.page.searched is not None:
        return None
    return tabs.within(wanted.states) or await count_matching(connection, replace(wanted, after=None))


def _place_of(row: RowMapping | None) -> tuple[datetime, str] | None:
    return None if row is None else (row["listed_at"], row["id"])
