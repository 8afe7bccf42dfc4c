"""Cursors of the lists: where a page ended, opaque to the client."""

import base64
from dataclasses import replace
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter
from pydantic_core import to_json

from service.errors import BadCursor
from service.ledger.reads.listing import Filter
from service.web.moments import Moment

NEXT_CURSOR = "Send it as `cursor`, with the same query, for the next page; null on the last."
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
T = TypeVar("T")
_place: TypeAdapter[tuple[Moment, Text, bool, bool]] = TypeAdapter(tuple[Moment, Text, bool, bool])


def after(wanted: Filter, listed_at: datetime, job_id: str) -> str:
    """Make the cursor for what comes after a job in the list of `wanted`."""
    return encode([listed_at.isoformat(), job_id, wanted.by_end, wanted.ascending])


def resume(wanted: Filter, cursor: str) -> Filter:
    """Go on with a list where a cursor says. Raises `BadCursor`."""
    listed_at, job_id, by_end, ascending = decode(_place, cursor)
    if (by_end, ascending) != (wanted.by_end, wanted.ascending):
        raise BadCursor("The cursor is of a list in another order. Send the same query with each page.")
    return replace(wanted, after=(listed_at, job_id))


def encode(place: list[object]) -> str:
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def decode(place: TypeAdapter[T], cursor: str) -> T:
    """Read a cursor. Raises `BadCursor`."""
    try:
        return place.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise BadCursor("The cursor is not one of ours. Send back `next_cursor` as it came, or none.") from error
