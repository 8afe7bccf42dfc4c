"""The log lines of one attempt, in bounded memory: the first and the latest ones, and how many lie between them."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

MOST_FIRST = MOST_LATEST = 100
# For the first lines, and the same again for the latest ones.
MOST_BYTES = 32 * 1024


class RawLine(NamedTuple):
    """A line as it was logged, secrets and all. `is_cut`: it was longer than `text`."""

    number: int
    at: datetime
    level: str
    text: str
    is_cut: bool
    names: Mapping[str, Any]
    size: int


class News(NamedTuple):
    """The lines to keep since the last time. Kept lines from `left_out[0]` to `left_out[1]` must be deleted."""

    lines: Sequence[RawLine]
    left_out: tuple[int, int] | None


class KeptLine(NamedTuple):
    """A line without secrets. `names` is a JSON object."""

    number: int
    at: datetime
    level: str
    text: str
    names: str | None


class KeptLines(NamedTuple):
    """Lines of an attempt to keep. Lines from `left_out[0]` to `left_out[1]` are no longer kept."""

    job_id: str
    attempt: int
    lines: Sequence[KeptLine]
    left_out: tuple[int, int] | None = None


class AttemptLines:
    """What one attempt logged. `keeper` is the object that writes it down."""

    __slots__ = ("_first", "_first_bytes", "_first_end", "_kept_from", "_kept_to", "_latest", "_latest_bytes", "keeper")

    def __init__(self, keeper: object) -> None:
        self.keeper = keeper
        self._first: list[RawLine] = []
        self._first_bytes = self._first_end = 0
        self._latest: deque[RawLine] = deque()
        self._latest_bytes = 0
        # What was written down: up to which number, and from which number among the latest lines.
        self._kept_to = self._kept_from = 0

    @property
    def size_bytes(self) -> int:
        return self._latest_bytes + (self._first_bytes if self._first else 0)

    @property
    def _count(self) -> int:
        return self._latest[-1].number if self._latest else self._first_end

    def add(self, at: datetime, level: str, text: str, is_cut: bool, names: Mapping[str, Any], size: int) -> None:
        """Add a line. The oldest of the latest lines make room for it."""
        line = RawLine(self._count + 1, at, level, text, is_cut, names, size)
        if not self._latest and self._first_end < MOST_FIRST and self._first_bytes + size <= MOST_BYTES:
            self._first.append(line)
            self._first_end = line.number
            self._first_bytes += size
            return
        self._latest.append(line)
        self._latest_bytes += size
        while len(self._latest) > MOST_LATEST or (self._latest_bytes > MOST_BYTES and len(self._latest) > 1):
            self._latest_bytes -= self._latest.popleft().size

    def news(self) -> News:
        """Return the lines to write down."""
        new = [line for line in (*self._first, *self._latest) if line.number > self._kept_to]
        gone_to = self._latest[0].number - 1 if self._latest else 0
        left_out = (self._kept_from, gone_to) if 0 < self._kept_from <= gone_to else None
        return News(new, left_out)

    def note_kept(self, news: News) -> None:
        """Hear that this was written down."""
        if news.left_out is not None:
            self._kept_from = news.left_out[1] + 1
        if not news.lines:
            return
        self._kept_to = news.lines[-1].number
        self._first = [line for line in self._first if line.number > self._kept_to]  # more may have come meanwhile
        if not self._kept_from:
            self._kept_from = next((line.number for line in news.lines if line.number > self._first_end), 0)
