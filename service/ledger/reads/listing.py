"""Lists of jobs, page by page: what they show, and which index finds each page."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    RowMapping,
    Select,
    Table,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import CREATED_AT, found_by_state, state_is, unindexed
from service.ledger.reads.jobs import SHOWN
from service.ledger.reads.matching import PathIs
from service.ledger.states import TERMINAL, State
from service.tables import job_listing, job_tags, jobs


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows, and in what order. A job must have one of the values given for each field.

    No index covers `args`, `metadata` and `text`: `searching.py` checks them in the jobs that the other filters leave.

    Jobs are listed by creation time or, if the filter asks for their end, by end. `after` is the (time, id) at which
    the previous page ended, `until` the last place to list.

    `within_kinds` and `within_queues` are the caller's limits: names, and prefixes that end with `*`.
    """

    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    queues: Sequence[str] = ()
    error_types: Sequence[str] = ()
    tag: str | None = None
    lane: str | None = None
    flow: str | None = None
    fingerprint: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    ascending: bool = False
    after: tuple[datetime, str] | None = None
    ids: Sequence[str] = ()
    until: tuple[datetime, str] | None = None
    args: Sequence[PathIs] = ()
    metadata: Sequence[PathIs] = ()
    text: str | None = None
    within_kinds: Sequence[str] | None = None
    within_queues: Sequence[str] | None = None

    @property
    def is_searched(self) -> bool:
        return bool(self.args or self.metadata or self.text)

    @property
    def by_end(self) -> bool:
        return self.finished_after is not None or self.finished_before is not None


async def list_jobs(connection: AsyncConnection, wanted: Filter, limit: int) -> Sequence[RowMapping]:
    """Return a page of jobs. The next page starts after the `listed_at` and `id` of the last row."""
    statement = page_of(SHOWN, wanted, limit)
    if statement is None:
        return []
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def list_columns(
    connection: AsyncConnection, columns: Sequence[ColumnElement[Any]], wanted: Filter, limit: int
) -> Sequence[Any]:
    """Return a page of jobs with these columns, followed by `listed_at` and `listed_id`."""
    statement = page_of(columns, wanted, limit)
    return [] if statement is None else (await connection.execute(statement)).all()


class _Way(NamedTuple):
    """How a page is found: the table whose index has the order, its columns of time and id, and the index's ranges.

    `leads` names the filter's field that the ranges already cover.
    """

    table: Table
    moment: ColumnElement[Any]
    job_id: Column[str]
    leads: str
    ranges: list[ColumnElement[bool]]


def page_of(columns: Sequence[ColumnElement[Any]], wanted: Filter, limit: int) -> Any:
    """Select a page: up to a whole page from each range of the index, then the first of all these rows.

    Return None if nothing can match.
    """
    way = _way(wanted)
    shown = [*columns, way.moment.label("listed_at"), way.job_id.label("listed_id")]
    pages = [_first(select(*shown).where(one), way, wanted).limit(limit) for one in way.ranges]
    if len(pages) < 2:
        return pages[0] if pages else None
    listed: list[ColumnElement[Any]] = [literal_column("listed_at"), literal_column("listed_id")]
    together = union_all(*(select(page.subquery()) for page in pages))
    return together.order_by(*(_directed(column, wanted) for column in listed)).limit(limit)


def is_narrowed(wanted: Filter) -> bool:
    """Whether a page has to read jobs from its index that the filter may exclude."""
    return bool(_others(_way(wanted), wanted))


def is_led_by_state(wanted: Filter) -> bool:
    """Whether a page is read from an index of the states that the filter names, and of no others."""
    return _way(wanted).leads == "state"


def places_of(wanted: Filter, number: int) -> Any:
    """Select the place of the `number`th row of each range of the index that the page is read from.

    That is how far a page looks if few rows match the conditions that the index does not cover.
    """
    way = _way(wanted)
    places = [
        _ordered(select(way.moment.label("listed_at"), way.job_id.label("listed_id")).where(one), way, wanted)
        .offset(number - 1)
        .limit(1)
        .subquery()
        for one in way.ranges
    ]
    return union_all(*map(select, places)) if places else None


def _first(statement: Select[Any], way: _Way, wanted: Filter) -> Select[Any]:
    """Narrow a statement over one range to the wanted jobs, in the wanted order."""
    if way.table is not jobs:
        statement = statement.join_from(way.table, jobs, jobs.c.id == way.job_id)
    return _ordered(statement.where(*_others(way, wanted)), way, wanted)


def _ordered(statement: Select[Any], way: _Way, wanted: Filter) -> Select[Any]:
    """Put a statement over one range in the wanted order, between `after` and `until`."""
    statement = statement.where(*_times(way, wanted))
    if wanted.after is not None:
        statement = statement.where(*_beside(way, wanted.after, later=wanted.ascending, or_there=False))
    if wanted.until is not None:
        statement = statement.where(*_beside(way, wanted.until, later=not wanted.ascending, or_there=True))
    return statement.order_by(_directed(way.moment, wanted), _directed(way.job_id, wanted))


def _beside(way: _Way, place: tuple[datetime, str], *, later: bool, or_there: bool) -> list[ColumnElement[bool]]:
    """Ask for jobs listed later than a place, or earlier. The first condition is for the index."""
    at, job_id = place
    at_least, more = (operator.ge, operator.gt) if later else (operator.le, operator.lt)
    by_id = at_least if or_there else more
    return [at_least(way.moment, at), more(way.moment, at) | ((way.moment == at) & by_id(way.job_id, job_id))]


def _directed(column: ColumnElement[Any], wanted: Filter) -> ColumnElement[Any]:
    return column.asc() if wanted.ascending else column.desc()


def _others(way: _Way, wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions on all fields but the leading one."""
    listed = job_listing if way.table is job_listing else jobs
    # If the page is read from the jobs themselves, the index on state must not look better to the planner.
    state = state_is(*map(State, wanted.states)) if way.table is jobs else _one_of(jobs.c.state, wanted.states)
    tagged = exists().where(
        job_tags.c.tag == wanted.tag, job_tags.c.created_at == jobs.c.created_at, job_tags.c.job_id == jobs.c.id
    )
    asked = {
        "state": (wanted.states, state),
        "kind": (wanted.kinds, or_(*of_kinds(listed, wanted.kinds))),
        "queue": (wanted.queues, _one_of(listed.c.queue, wanted.queues)),
        "error_type": (wanted.error_types, _one_of(jobs.c.error_type, wanted.error_types)),
        "tag": (wanted.tag, tagged),
        "lane": (wanted.lane, (listed.c.lane == wanted.lane) | (listed.c.kind_lane == wanted.lane)),
        "ids": (wanted.ids, jobs.c.id.in_(wanted.ids)),
        "flow": (wanted.flow, listed.c.flow == wanted.flow),
        "fingerprint": (wanted.fingerprint, jobs.c.fingerprint == wanted.fingerprint),
    }
    within = within_limits(listed, wanted)
    # An empty text is a condition, too, which no job meets. If it were left out, the filter would match too many jobs.
    others = [
        condition for name, (told, condition) in asked.items() if told not in (None, (), []) and name != way.leads
    ]
    return [*others, *within]


def within_limits(listed: Table, wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions that keep the caller within its limits."""
    limits = ((wanted.within_kinds, (listed.c.kind, listed.c.label)), (wanted.within_queues, (listed.c.queue,)))
    return [
        or_(false(), *(_is_listed(column, one) for one in names for column in columns))
        for names, columns in limits
        if names is not None
    ]


def _is_listed(column: Column[Any], listed: str) -> ColumnElement[bool]:
    """Match a name or a prefix. On SQLite, LIKE would ignore case."""
    if not listed.endswith("*"):
        return column == listed
    return func.substr(column, 1, len(listed) - 1) == listed[:-1]


def _one_of(column: Column[Any], values: Sequence[str]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def of_kinds(listed: Table, names: Sequence[str], *, one_by_one: bool = False) -> list[ColumnElement[bool]]:
    """Match jobs of kinds; a name with a dot may also be a label. No job is matched twice."""
    labels = [name for name in names if "." in name]
    unnamed = listed.c.kind.not_in(names)
    by_kind = [listed.c.kind == one for one in names] if one_by_one else [_one_of(listed.c.kind, names)]
    return [*by_kind, *((listed.c.label == label) & unnamed for label in labels)]


def _times(way: _Way, wanted: Filter) -> list[ColumnElement[bool]]:
    created_at = way.moment if way.leads == "ids" else way.table.c.created_at
    bounds = [
        (wanted.created_after, created_at.__gt__),
        (wanted.created_before, created_at.__lt__),
        (wanted.finished_after, jobs.c.finished_at.__gt__),
        (wanted.finished_before, jobs.c.finished_at.__lt__),
    ]
    return [compare(value) for value, compare in bounds if value is not None]


def _way(wanted: Filter) -> _Way:
    """Choose the index to read by.

    A flow leads, unless ids or the end do. So does a state, unless most of the history is in that state and the filter
    also names kinds, queues or a lane.
    """
    narrower = bool(wanted.kinds or wanted.queues or wanted.lane)
    if wanted.ids:
        return _Way(jobs, CREATED_AT, jobs.c.id, "ids", [jobs.c.id.in_(wanted.ids)])
    listed = (job_listing, job_listing.c.created_at, job_listing.c.job_id)
    if wanted.by_end:
        return _way_by_end(wanted)
    if wanted.flow is not None:
        return _Way(*listed, "flow", [job_listing.c.flow == wanted.flow])
    if wanted.tag is not None:
        return _Way(job_tags, job_tags.c.created_at, job_tags.c.job_id, "tag", [job_tags.c.tag == wanted.tag])
    if wanted.fingerprint is not None or wanted.error_types:
        return _way_of_errors(wanted)
    if wanted.states and not (State.SUCCEEDED in wanted.states and narrower):
        return _Way(jobs, jobs.c.created_at, jobs.c.id, "state", [jobs.c.state == one for one in wanted.states])
    if wanted.lane is not None:
        lanes = (job_listing.c.lane, job_listing.c.kind_lane)
        return _Way(*listed, "lane", [column == wanted.lane for column in lanes])
    if wanted.kinds:
        return _Way(*listed, "kind", of_kinds(job_listing, wanted.kinds, one_by_one=True))
    if wanted.queues:
        return _Way(*listed, "queue", [job_listing.c.queue == one for one in wanted.queues])
    return _Way(*listed, "", [true()])


def _way_of_errors(wanted: Filter) -> _Way:
    columns = (jobs, jobs.c.created_at, jobs.c.id)
    if wanted.fingerprint is None:
        return _Way(*columns, "error_type", [_error_is(one) for one in wanted.error_types])
    return _Way(*columns, "fingerprint", [(jobs.c.fingerprint == wanted.fingerprint) & jobs.c.fingerprint.is_not(None)])


def _way_by_end(wanted: Filter) -> _Way:
    """Read ended jobs, in the words of the partial indexes. The ones that succeeded have no index of their own."""
    columns = (jobs, jobs.c.finished_at, jobs.c.id)
    if not wanted.states or State.SUCCEEDED in wanted.states:
        return _Way(*columns, "", [found_by_state(*TERMINAL)])
    return _Way(*columns, "state", [found_by_state(state) for state in TERMINAL if state in wanted.states])


def _error_is(error_type: str) -> ColumnElement[bool]:
    """Match an error type in the words of the index, which holds only its beginning: a type may be of any length.

    The whole type is compared only if it is longer than that beginning. Postgres has statistics only on the beginnings;
    SQLite would substitute a value that is compared with the column into the expression, and no longer see the index.
    """
    beginning = func.substr(jobs.c.error_type, literal_column("1"), literal_column("100")) == error_type[:100]
    whole = true() if len(error_type) < 100 else unindexed(jobs.c.error_type) == error_type
    return beginning & jobs.c.error_type.is_not(None) & whole
