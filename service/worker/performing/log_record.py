"""A record of Python's logging as a line to keep, whether from structlog or a library: bounded and clean."""

import logging
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from service.worker.performing.failure import cleaned, traceback_of
from service.worker.performing.redaction import plain

MOST_TEXT = 4 * 1024
_MOST_NAMES_BYTES = 4 * 1024
_LONGEST_LEVEL = 8
# Names that every line has, or that its place in the history already tells.
_ELSEWHERE = frozenset(
    {"attempt", "event", "exc_info", "exception", "job_id", "kind", "level", "logger", "stack", "timestamp"}
)
_PRIVATE = "_"


class Line(NamedTuple):
    """A line as it was logged. `is_cut`: it was longer than `text`."""

    level: str
    text: str
    is_cut: bool
    names: Mapping[str, Any]
    size: int


def read_record(record: logging.LogRecord) -> Line:
    """Read a record. Raises whatever an author's objects do."""
    event = record.msg if isinstance(record.msg, dict) else {}
    text = str(event.get("event", "")) if event else record.getMessage()
    if (error := _error_of(event.get("exc_info") or record.exc_info)) is not None:
        text = f"{_cut(text)}\n{traceback_of(error, error.__traceback__)}"
    shown = cleaned(_cut(text))
    names = {name: value for name, value in event.items() if name not in _ELSEWHERE and not name.startswith(_PRIVATE)}
    if not record.name.startswith("jobs."):
        names["logger"] = record.name
    kept = plain(names)
    text_size, names_size = len(shown.encode()), len(repr(kept).encode()) if kept else 0
    if names_size > _MOST_NAMES_BYTES:
        kept, names_size = {"left_out": f"{len(names)} names, which are too long"}, 0
    size = text_size + names_size
    return Line(record.levelname.lower()[:_LONGEST_LEVEL], shown, len(text) > MOST_TEXT, kept, size)


def _error_of(exc_info: Any) -> BaseException | None:
    """Return the error that a line is about, in whichever way it was passed."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case None | False:
            return None
        case _:
            return sys.exc_info()[1]


def _cut(text: str) -> str:
    return str.__getitem__(text, slice(MOST_TEXT))
