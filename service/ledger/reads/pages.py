"""Pages of jobs: as many as were asked for, or fewer if they are large."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads import jobs as queries
from service.ledger.reads import listing, searching
from service.ledger.reads.listing import Filter
from service.ledger.reads.members import far_end

# A page ends with the job that passes this size: args and results may have 256 KiB each.
PAGE_BYTES = 8 * 1024 * 1024
_READ_AT_ONCE = 100
_ATTEMPT_BYTES = 20_000  # its traceback and message, at most


class Page(NamedTuple):
    """Rows to show, and the place after which there are more.

    `searched` says how many jobs it looked at, if that is why it ends.
    """

    rows: Sequence[RowMapping]
    attempts: Mapping[str, list[RowMapping]]
    last: tuple[datetime, str] | None
    searched: int | None = None


async def read_page(
    connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool = False, looks: int | None = None
) -> Page:
    """Read up to `limit` jobs, and their attempts if they are wanted. A page of large jobs may be shorter.

    With `looks`, a page also ends after looking at so many jobs of the filter's index: few of them may match.
    """
    if wanted.is_searched:
        page = await _search(connection, wanted, limit, with_attempts=with_attempts)
    else:
        end = await far_end(connection, wanted, looks) if looks and listing.is_narrowed(wanted) else None
        page = await _list(connection, replace(wanted, until=end), limit, with_attempts=with_attempts)
        if end is not None and page.last is None:
            page = page._replace(last=end, searched=looks)
    ids = [row["id"] for row in page.rows] if with_attempts else []
    return page._replace(attempts=await queries.get_attempts(connection, ids)) if ids else page


async def _list(connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool) -> Page:
    """Read one row more than the page holds, to see whether there is another page."""
    rows, shown = await _read_rows(connection, wanted, limit, with_attempts=with_attempts)
    return Page(shown, {}, _place(shown[-1]) if len(rows) > len(shown) else None)


async def _search(connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool) -> Page:
    """Find the jobs first, then read as many as the page holds. The next page begins after the last of them."""
    search = await searching.search(connection, wanted, limit)
    rows: list[RowMapping] = []
    room, last = PAGE_BYTES, search.reached
    for first in range(0, len(search.found), _READ_AT_ONCE):
        found = search.found[first : first + _READ_AT_ONCE]
        by_id = {row["id"]: row for row in await queries.get_jobs(connection, [one.id for one in found])}
        for one in found:
            if room <= 0:
                return Page(rows, {}, last, search.searched)
            last = (one.listed_at, one.id)
            rows += [by_id[one.id]] if one.id in by_id else []
            room -= _size_of(by_id[one.id], with_attempts=with_attempts) if one.id in by_id else 0
    return Page(rows, {}, search.reached, search.searched)


def _place(row: RowMapping) -> tuple[datetime, str]:
    return row["listed_at"], row["id"]


async def _read_rows(
    connection: AsyncConnection, wanted: Filter, limit: int, *, with_attempts: bool
) -> tuple[Sequence[RowMapping], Sequence[RowMapping]]:
    """Read rows in chunks until there are more than the page holds. Return all rows, and the rows to show."""
    rows: list[RowMapping] = []
    room, fits = PAGE_BYTES, 0
    while fits == len(rows) <= limit:
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
    """Estimate how many bytes a job takes in an answer; each attempt counts with the most that it may have."""
    return len(row["args"]) + len(row["result"] or "") + (row["attempt"] * _ATTEMPT_BYTES if with_attempts else 0)
