"""What the page of jobs shows, read at once: a page of the list, how many match, and how many are in each state."""

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
from service.ledger.reads.estimates import Count, count_matching
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
    many jobs this page searched. `states` are of all jobs, whatever the filter.
    """

    rows: Sequence[JobRow]
    states: Mapping[State, Count]
    matching: Count | None
    searched: int | None
    newer: str | None
    older: str | None

    @property
    def all(self) -> Count:
        """How many jobs there are."""
        counts = self.states.values()
        return Count(sum(one.number for one in counts), any(one.about for one in counts))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of a list in its order, and whether there are more on either side."""

    page: Page
    has_newer: bool
    has_older: bool


async def read_jobs_page(
    ledger: Ledger,
    lanes: Lanes,
    wanted: Filter,
    states: Mapping[State, Count],
    *,
    newer: str | None = None,
    sees_args: bool = True,
) -> JobsPage:
    """Read a page of the jobs that match: the one before the cursor `newer`, or else the one that `wanted` asks for.

    Raises `BadCursor`.
    """
    async with ledger.read() as connection:
        stretch = await _stretch(connection, wanted, newer)
        rows = stretch.page.rows
        matching = await _matching(connection, wanted, states, stretch)
    reasons = await lanes.waiting_for.reasons_of(rows)
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    # A search may continue although this page found nothing.
    older = (stretch.page.last or _place_of(last)) if stretch.has_older else None
    return JobsPage(
        rows=[
            JobRow(row, why[0] if why else None, parts_of(row["args"]) if sees_args else None)
            for row, why in zip(rows, reasons, strict=True)
        ],
        states=states,
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


async def _matching(
    connection: AsyncConnection, wanted: Filter, states: Mapping[State, Count], stretch: _Stretch
) -> Count | None:
    """Count the matches, unless the counts of states tell, or the whole list is on the page."""
    if not stretch.has_newer and not stretch.has_older:
        return Count(len(stretch.page.rows))
    if stretch.page.searched is not None:
        return None
    if replace(wanted, states=(), after=None, ascending=False) == Filter():
        counts = [states[State(state)] for state in wanted.states or tuple(State)]
        return Count(sum(one.number for one in counts), any(one.about for one in counts))
    return await count_matching(connection, replace(wanted, after=None))


def _place_of(row: RowMapping | None) -> tuple[datetime, str] | None:
    return None if row is None else (row["listed_at"], row["id"])
