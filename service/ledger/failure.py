"""Why an attempt failed, and where."""

from dataclasses import dataclass
from typing import NamedTuple


class CodePlace(NamedTuple):
    """Where an attempt failed: `file:line` as it is shown, and `file:function`, which outlives edits above it."""

    line: str
    function: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed, as text."""

    type: str
    message: str
    traceback: str | None = None
    place: CodePlace | None = None
