"""Where a page of entries ends, as a cursor."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter

from service.audit_log.chain import Kept
from service.tables import moment_text
from service.web import cursor
from service.web.moments import Moment

_place: TypeAdapter[tuple[Moment, int]] = TypeAdapter(tuple[Moment, int])
_moments: TypeAdapter[datetime] = TypeAdapter(Moment)


def cursor_behind(page: Sequence[Kept]) -> str | None:
    """Return the cursor of the next page, which begins after the last entry with a time the log can have written.

    Entries whose times were tampered with may be shown twice. None if the page has only such entries.
    """
    places = ([entry.at, entry.seq] for entry in reversed(page) if _is_as_written(entry.at))
    return next(map(cursor.encode, places), None)


def read_cursor(text: str | None) -> tuple[datetime, int] | None:
    """Raises `BadCursor`."""
    return cursor.decode(_place, text) if text else None


def moment_of(text: str) -> datetime | None:
    """Read the time of an entry; None if it can no longer be read as a time."""
    try:
        return _moments.validate_python(text)
    except ValueError:
        return None


def _is_as_written(text: str) -> bool:
    # SQLite sorts the text itself, so another spelling of the same moment has another place in the list.
    moment = moment_of(text)
    return moment is not None and moment_text(moment) == text
