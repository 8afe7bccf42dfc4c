"""The records of a CSV file, in batches: the same records in the same order, however many are taken at a time."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO

from jobs.csv.layout import Layout
from jobs.csv.lines import LONGEST_FIELD, FileUnreadable, Lines, allow_long_fields

MOST_COLUMNS = 1_000
_MOST_BYTES_AT_ONCE = 8 * 1024 * 1024
_QUOTES = "a quote is not closed, or one within quotes is not doubled"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot go in, its first line, and why."""

    line: int
    reason: str
    cells: list[str]


@dataclass(slots=True)
class Taken:
    """Records taken together: rows, each with its line, and what could not be read as a row."""

    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.bad)


class Records:
    """Records of a file, without empty lines.

    If a record's quotes are wrong, only its first line is bad: reading continues with the next line.
    """

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        allow_long_fields()
        self._lines = Lines(file, layout.encoding)
        self._layout = layout
        self._source = iter(self._lines)
        self._again: deque[str] = deque()
        self._read_before = sum(1 for _ in islice(self._source, layout.first_line - 1))
        self._line = layout.first_line
        self._reader = self._read()

    @property
    def bytes_read(self) -> int:
        return self._lines.bytes_read

    @property
    def has_odd_characters(self) -> bool:
        """Whether a record so far may have characters that cannot be stored."""
        return self._lines.has_unreadable or self._lines.has_nul

    def take(self, most: int) -> Taken:
        """Take the next records: as many as are wanted, unless they are very long, and none at the end.

        Raises `FileUnreadable`.
        """
        taken = Taken()
        until = self.bytes_read + _MOST_BYTES_AT_ONCE
        while taken.count < most and (self.bytes_read < until or not taken.count):
            try:
                if not self._take_rows(taken, most, until):
                    break
            except csv.Error as error:
                self._pass_over(taken, error)
        return taken

    def skip(self, count: int) -> int:
        """Skip records; return how many there were, which is fewer only at the end."""
        passed = 0
        while passed < count and (taken := self.take(min(count - passed, 10_000)).count):
            passed += taken
        return passed

    def _take_rows(self, taken: Taken, most: int, until: int) -> bool:
        rows, numbers, lines, reader = taken.rows, taken.lines, self._lines, self._reader
        left, line, before = most - len(taken.bad), self._line, self._read_before + 1
        add, note = rows.append, numbers.append
        try:
            for row in reader:
                if row:
                    add(row)
                    note(line)
                line = lines.kept_from = before + reader.line_num
                if len(rows) >= left or lines.bytes_read >= until:
                    return True
            return False
        finally:
            self._line = line

    def _pass_over(self, taken: Taken, error: csv.Error) -> None:
        """Note a record whose quotes are wrong, and continue with the line after its first."""
        if "field limit" in str(error):
            raise FileUnreadable(
                f"Line {self._line} has a field of more than {LONGEST_FIELD:,} characters: is each quote closed?"
            )
        first, *others = self._lines.again_from(self._line, self._read_before + self._reader.line_num)
        taken.bad.append(BadRow(self._line, _QUOTES, [first.rstrip("\r\n")]))
        self._line = self._lines.kept_from = self._line + 1
        self._read_before = self._line - 1
        self._again.extendleft(reversed(others))
        self._reader = self._read()

    def _read(self) -> Any:
        lines, layout = chain(self._again_first(), self._source), self._layout
        return csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=layout.skips_space, strict=True)

    def _again_first(self) -> Iterator[str]:
        while self._again:
            yield self._again.popleft()
