"""The cursor of a list of jobs: the last job's place in the list, and the order of the list."""

from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter

from service.errors import BadCursor
from service.ledger.reads.listing import Filter
from service.web.cursor import Text, decode, encode
from service.web.moments import Moment

_place: TypeAdapter[tuple[Moment, Text, bool, bool]] = TypeAdapter(tuple[Moment, Text, bool, bool])


def cursor_after(wanted: Filter, listed_at: datetime, job_id: str) -> str:
    """Make the cursor for the jobs after this one in the list that `wanted` selects."""
    return encode([listed_at.isoformat(), job_id, wanted.by_end, wanted.ascending])


def resume(wanted: Filter, cursor: str) -> Filter:
    """Return `wanted`, starting where the cursor says. Raises `BadCursor`."""
    listed_at, job_id, by_end, ascending = decode(_place, cursor)
    if (by_end, ascending) != (wanted.by_end, wanted.ascending):
        raise BadCursor("The cursor belongs to a list in another order. Send the same query for each page.")
    return replace(wanted, after=(listed_at, job_id))
