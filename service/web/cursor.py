"""Cursors of the lists: where a page ended, opaque to the client."""

import base64
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter
from pydantic_core import to_json

from service.errors import BadCursor

NEXT_CURSOR = "Send it as `cursor`, with the same query, for the next page; null on the last."
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
T = TypeVar("T")


def encode(place: object) -> str:
    """Make a cursor from the last item's place in the list: anything that can be written as JSON."""
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def decode(place: TypeAdapter[T], cursor: str) -> T:
    """Read a cursor. Raises `BadCursor`."""
    try:
        return place.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise BadCursor("The cursor is not one of ours. Send `next_cursor` back unchanged, or none.") from error
