"""A walk through the members of an operation, newest first; no read looks at many more jobs than it returns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.ledger import Ledger
from service.ledger.operations import Place
from service.ledger.reads import members
from service.ledger.reads.listing import Filter
from service.ledger.reads.members import Member
from service.ledger.reads.searching import search

# How many jobs of the filter's index are looked at for one page, or for counting.
LOOKED_AT = 5_000
_COUNTED_AT_MOST = 1_000_000  # far more than are looked at


class Step(NamedTuple):
    """Members, the place reached with them, and whether it is the end."""

    members: Sequence[Member]
    reached: Place | None
    is_last: bool


class Walk:
    """Reads the jobs that `wanted` matches. Between two reads it remembers how far it may look."""

    def __init__(self, ledger: Ledger, wanted: Filter) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._end: Place | None = None
        self._knows_end = False

    async def read(self, after: Place | None, limit: int) -> Step:
        """Read up to `limit` members beyond a place; there may be none up to the place reached."""
        async with self._ledger.read() as connection:
            stretch = await self._stretch(connection, after)
            if stretch.is_searched:
                found, reached = await _searched(connection, stretch, limit)
            else:
                found = await members.members_of(connection, stretch, limit)
                reached = found[-1].place if len(found) == limit else None
        if reached is not None:
            return Step(found, reached, is_last=False)
        self._knows_end = False
        last = found[-1].place if found else after
        return Step(found, self._end or last, is_last=self._end is None)

    async def count(self, after: Place | None) -> tuple[int, Place | None]:
        """Count the members on a stretch beyond a place; also return the end of the stretch, None at the end of all."""
        async with self._ledger.read() as connection:
            stretch = await self._stretch(connection, after)
            if stretch.is_searched:
                looked = await search(connection, stretch, LOOKED_AT)
                counted, reached = len(looked.found), looked.reached
            else:
                counted, reached = await members.count_members(connection, stretch, _COUNTED_AT_MOST), None
        if reached is not None:
            return counted, Place(*reached)
        self._knows_end = False
        return counted, self._end

    async def _stretch(self, connection: AsyncConnection, after: Place | None) -> Filter:
        """Return the filter for the jobs after a place, as far as this read may look."""
        wanted = replace(self._wanted, after=after)
        is_beyond = self._end is not None and after is not None and after <= self._end
        if not self._knows_end or is_beyond:
            self._end = await members.far_end(connection, wanted, LOOKED_AT)
            self._knows_end = True
        return replace(wanted, until=self._end)


async def _searched(connection: AsyncConnection, wanted: Filter, limit: int) -> tuple[Sequence[Member], Place | None]:
    """Read members by a filter that needs a look into each job; also return how far the look came, None: to the end."""
    looked = await search(connection, wanted, limit)
    ids = [one.id for one in looked.found]
    found = await members.members_of(connection, Filter(ids=ids), limit) if ids else []
    return found, None if looked.reached is None else Place(*looked.reached)
