"""Cursors of the job list: where a page ended, opaque to the client."""

import base64
import json
from datetime import datetime
from typing import Annotated

from pydantic import Field, TypeAdapter

from service.api.schemas import Moment
from service.errors import BadCursor

_JobId = Annotated[str, Field(pattern=r"^[^\x00]*$")]
_position: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[Moment, _JobId])


def encode(created_at: datetime, job_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), job_id]).encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, str]:
    """Read a cursor. Raises `BadCursor`."""
    try:
        return _position.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise BadCursor("The cursor is not one of ours. Send back `next_cursor` as it came, or none.") from error
