"""Lists of jobs, page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.api.jobs.filters import list_filter
from service.api.jobs.job_out import JobList, JobOut
from service.api.jobs.list_cursor import cursor_after
from service.ledger.deadline import in_time
from service.ledger.reads import jobs as queries
from service.ledger.reads import listing, searching
from service.ledger.reads.flows import RELATED, UNRELATED, Relations
from service.ledger.reads.kept import NOTHING_KEPT, Kept
from service.ledger.reads.listing import Filter
from service.ledger.traits import Trait
from service.resources import Resources
from service.web.deps import LanesDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import GUARDS
from service.web.problems import responses
from service.web.room import MIB

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

# A page ends with the job that exceeds this: args and results may have 256 KiB each.
PAGE_BYTES = 8 * MIB
_READ_AT_ONCE = 100
_ATTEMPT_BYTES = 20_000  # its traceback and message, at most
_EXPAND = "Show the attempts of each job, with their tracebacks"


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422, 503)}, response_model_exclude_unset=True)
async def list_jobs(
    resources: ResourcesDep,
    lanes: LanesDep,
    wanted: Annotated[Filter, Depends(list_filter)],
    expand: Annotated[list[Literal["attempts"]], Query(default_factory=list, description=_EXPAND)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> JobList:
    """List jobs, newest first unless `order=asc`.

    They are ordered by their creation or, with `finished_after` or `finished_before`, by their end. A page of large
    jobs may hold fewer than `limit`: `next_cursor` says whether there are more.
    """
    page = await in_time(_read_page(resources, wanted, limit, with_attempts=bool(expand)))
    reasons = await in_time(lanes.waiting_for.of(page.rows))
    jobs = [
        JobOut.of_row(row, page.attempts.get(row["id"]), why, *_known_of(row["traits"]))
        for row, why in zip(page.rows, reasons, strict=True)
    ]
    cursor = None if page.last is None else cursor_after(wanted, *page.last)
    searched = {} if page.searched is None else {"searched": page.searched}
    return JobList(jobs=jobs, next_cursor=cursor, **searched)


def _known_of(traits: int) -> tuple[Relations | None, Kept | None]:
    """Return what is known of a job without a look: that it has none of it."""
    return None if traits & RELATED else UNRELATED, None if traits & Trait.STEPS.value else NOTHING_KEPT


class _Page(NamedTuple):
    """Rows to show, and the place after which there are more."""

    rows: Sequence[RowMapping]
    attempts: Mapping[str, list[RowMapping]]
    last: tuple[datetime, str] | None
    searched: int | None = None


async def _read_page(resources: Resources, wanted: Filter, limit: int, *, with_attempts: bool) -> _Page:
    async with resources.ledger.read() as connection:
        if wanted.is_searched:
            page = await _search(connection, wanted, limit, with_attempts=with_attempts)
        else:
            page = await _list(connection, wanted, limit, with_attempts=with_attempts)
        ids = [row["id"] for row in page.rows] if with_attempts else []
        return page._replace(attempts=await queries.get_attempts(connection, ids)) if ids else page


async def _list(connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool) -> _Page:
    """Read one row more than the page holds, to see whether there is another page."""
    rows, shown = await _read_rows(connection, wanted, limit, with_attempts=with_attempts)
    return _Page(shown, {}, _place(shown[-1]) if len(rows) > len(shown) else None)


async def _search(connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool) -> _Page:
    """Find the jobs first, then read as many as the page holds: the next one begins after the last of these."""
    search = await searching.search(connection, wanted, limit)
    rows: list[RowMapping] = []
    room, last = PAGE_BYTES, search.reached
    for first in range(0, len(search.found), _READ_AT_ONCE):
        found = search.found[first : first + _READ_AT_ONCE]
        by_id = {row["id"]: row for row in await queries.get_jobs(connection, [one.id for one in found])}
        for one in found:
            if room <= 0:
                return _Page(rows, {}, last, search.searched)
            last = (one.listed_at, one.id)
            rows += [by_id[one.id]] if one.id in by_id else []
            room -= _size_of(by_id[one.id], with_attempts=with_attempts) if one.id in by_id else 0
    return _Page(rows, {}, search.reached, search.searched)


def _place(row: RowMapping) -> tuple[datetime, str]:
    return row["listed_at"], row["id"]


async def _read_rows(
    connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool
) -> tuple[Sequence[RowMapping], Sequence[RowMapping]]:
    """Read rows in chunks until there are more than the page holds. Return all rows, and the rows to show."""
    rows: list[RowMapping] = []
    room, fits = PAGE_BYTES, 0
    while room > 0 and len(rows) <= limit:
        count = min(_READ_AT_ONCE, limit + 1 - len(rows))
        some = await listing.list_jobs(connection, wanted, count)
        for row in some:
            fits += room > 0 and fits < limit
            room -= _size_of(row, with_attempts=with_attempts)
        rows += some
        if len(some) < count:
            break
        wanted = replace(wanted, after=(some[-1]["listed_at"], some[-1]["id"]))
    return rows, rows[:fits]


def _size_of(row: RowMapping, *, with_attempts: bool) -> int:
    """Estimate how many bytes a job takes in an answer; its attempts count with the most that they may have."""
    return len(row["args"]) + len(row["result"] or "") + (row["attempt"] * _ATTEMPT_BYTES if with_attempts else 0)
