"""Filters without an index: they look at the newest jobs that the indexed filters leave, and say how far they came."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.listing import Filter, list_columns
from service.ledger.reads.matching import TextIn
from service.tables import jobs

MOST_SEARCHED = 10_000
# Bounds on the cost of one page: jobs may have 256 KiB of args each.
_LONGEST_S = 2.0
_MOST_BYTES = 64 * 1024 * 1024
_AT_ONCE = 1_000
_FIRST = 100
_BYTES_AT_ONCE = 4 * 1024 * 1024


class Found(NamedTuple):
    """A job that matches: its place in the list, and its id."""

    listed_at: datetime
    id: str


class Search(NamedTuple):
    """What a search has found, and how many jobs it has looked at. It goes on beyond `reached`; None: it is done."""

    found: Sequence[Found]
    searched: int
    reached: tuple[datetime, str] | None


async def search(connection: AsyncConnection, wanted: Filter, limit: int) -> Search:
    """Find up to `limit` jobs that match the whole filter, among up to 10,000 in its order."""
    deadline, room, count = time.monotonic() + _LONGEST_S, _MOST_BYTES, _FIRST
    looking, found, searched = _Look(wanted), list[Found](), 0
    while True:
        count = min(count, MOST_SEARCHED - searched)
        rows = await list_columns(connection, looking.columns, wanted, count)
        fits = await asyncio.to_thread(looking.fitting, rows, limit - len(found))
        found += [Found(row.listed_at, row.id) for row in fits]
        last = fits[-1] if len(found) == limit else rows[-1] if rows else None
        searched += len(rows) if last is None else next(at for at, row in enumerate(rows, 1) if row is last)
        if len(found) < limit and len(rows) < count:
            return Search(found, searched, None)
        assert last is not None
        reached = (last.listed_at, last.id)
        size = sum(map(looking.size_of, rows))
        room -= size
        if len(found) == limit or searched >= MOST_SEARCHED or room <= 0 or time.monotonic() > deadline:
            return Search(found, searched, reached)
        wanted = replace(wanted, after=reached)
        count = max(1, min(_AT_ONCE, _BYTES_AT_ONCE * len(rows) // max(size, 1)))


class _Look:
    """Judges rows by the filters that have no index."""

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._text = TextIn(wanted.text) if wanted.text else None
        names = ["id"]
        if wanted.args or wanted.text:
            names.append("args")
        if wanted.metadata or wanted.text:
            names.append("metadata")
        if wanted.text:
            names += ["error_type", "error_message"]
        self._texts = names[1:]
        self.columns: list[ColumnElement[Any]] = [jobs.c[name] for name in names]

    def fitting(self, rows: Sequence[Any], limit: int) -> list[Any]:
        """Return the first `limit` rows that fit."""
        fits: list[Any] = []
        for row in rows:
            if self._fits(row):
                fits.append(row)
                if len(fits) == limit:
                    break
        return fits

    def size_of(self, row: Any) -> int:
        return sum(len(text) for name in self._texts if (text := getattr(row, name)))

    def _fits(self, row: Any) -> bool:
        return (
            all(one.fits(row.args) for one in self._wanted.args)
            and all(one.fits(row.metadata) for one in self._wanted.metadata)
            and (self._text is None or self._text.is_in([getattr(row, name) for name in self._texts]))
        )
