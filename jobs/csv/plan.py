"""What to do with each record: its cells become values of the target's columns, or it is bad."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.csv.args import TypeAndFormat
from jobs.csv.cells import BadCell, Cells, cells_of
from jobs.csv.columns import Column, ColumnsDoNotFit, ColumnType, Match, match
from jobs.csv.lines import UNREADABLE
from jobs.csv.records import MOST_COLUMNS, BadRow, Taken
from jobs.csv.targets import Batch

# For integers that go into a column of another type: drivers take no larger ones.
_BOUNDS = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """`width` is how many cells a row has."""

    width: int
    matches: Sequence[Match]
    cells: Sequence[Cells]

    def batch(self, taken: Taken, first: int, *, has_odd_characters: bool) -> Batch:
        """Make values from the records that were taken; `first` is the number of the first one."""
        bad = list(taken.bad)
        rows, lines = self._of_right_width(taken, bad)
        if has_odd_characters:
            rows, lines = _sorted_out(rows, lines, bad, map(_odd, rows))
        values = self._values(rows)
        if values is None:  # one of them is bad, or needs a closer look
            rows, lines = _sorted_out(rows, lines, bad, map(self._wrong, rows))
            values = [[one.read_one(row[at.index]) for row in rows] for at, one in self._pairs()]
        bad.sort(key=lambda row: row.line)
        columns = [one.column for one in self.cells]
        return Batch(columns, values, lines, rows, bad, first, taken.count)

    def _pairs(self) -> Iterator[tuple[Match, Cells]]:
        return zip(self.matches, self.cells, strict=True)

    def _values(self, rows: Sequence[list[str]]) -> list[Sequence[Any]] | None:
        values: list[Sequence[Any]] = []
        columns = list(zip(*rows, strict=True)) or [()] * self.width
        for at, one in self._pairs():
            read = one.read(columns[at.index])
            if read is None:
                return None
            values.append(read)
        return values

    def _of_right_width(self, taken: Taken, bad: list[BadRow]) -> tuple[list[list[str]], list[int]]:
        if set(map(len, taken.rows)) <= {self.width}:
            return taken.rows, taken.lines
        return _sorted_out([self._cut(row) for row in taken.rows], taken.lines, bad, map(self._ragged, taken.rows))

    def _cut(self, row: list[str]) -> list[str]:
        """Drop the empty cells that trailing delimiters add."""
        return row if any(row[self.width :]) else row[: self.width]

    def _ragged(self, row: list[str]) -> str | None:
        if len(row) == self.width or (not any(row[self.width :]) and len(row) > self.width):
            return None
        return f"has {len(row):,} columns, not {self.width:,}"

    def _wrong(self, row: list[str]) -> str | None:
        try:
            for at, one in self._pairs():
                one.read_one(row[at.index])
        except BadCell as error:
            return str(error)
        return None


def plan_of(
    first_row: Sequence[str],
    columns: Sequence[Column] | None,
    *,
    has_header: bool,
    mapping: Mapping[str, str | None],
    types: Mapping[str, ColumnType | TypeAndFormat],
) -> Plan:
    """Plan what to do with each row. Raises `ColumnsDoNotFit`."""
    if len(first_row) > MOST_COLUMNS:
        raise ColumnsDoNotFit(f"The file has {len(first_row):,} columns, but at most {MOST_COLUMNS:,} are allowed.")
    headers = [name.strip() for name in first_row] if has_header else _numbered(len(first_row), mapping, columns)
    matches = match(headers, mapping, columns)
    goals = {one.column.name for one in matches}
    unknown = [name for name in types if name not in goals]
    if unknown:
        raise ColumnsDoNotFit(f"types names {unknown[0]!r}, which no column of the file goes into.")
    bounds = (None, None) if columns is None else _BOUNDS
    return Plan(len(first_row), matches, [_cells(one.column, types.get(one.column.name), bounds) for one in matches])


def _numbered(width: int, mapping: Mapping[str, str | None], columns: Sequence[Column] | None) -> list[str]:
    """Name the columns of a file without a header: like the target's, if the number is the same, else by number."""
    if columns is None:
        return [f"column_{number}" for number in range(1, width + 1)]
    if width == len(columns):
        return [column.name for column in columns]
    if not mapping:
        raise ColumnsDoNotFit(
            f"The file has no header and {width} columns, but the target has {len(columns)}: say in mapping what goes"
            ' where, as in {"#1": "name"}. If its first line names the columns, say header: true.'
        )
    return [""] * width


def _cells(column: Column, said: ColumnType | TypeAndFormat | None, bounds: tuple[int | None, int | None]) -> Cells:
    if said is None or said == column.type:
        return cells_of(column)
    wanted = said if isinstance(said, TypeAndFormat) else TypeAndFormat(type=said)
    low, high = bounds
    of_type = column if wanted.type == column.type else replace(column, type=wanted.type, low=low, high=high)
    return cells_of(of_type, wanted.format, decimal_comma=wanted.decimal_comma)


def _odd(row: list[str]) -> str | None:
    text = "".join(row)
    if UNREADABLE in text:
        return "has bytes that its encoding does not know"
    return "has the character NUL" if "\0" in text else None


def _sorted_out(
    rows: Sequence[list[str]], lines: Sequence[int], bad: list[BadRow], reasons: Iterator[str | None]
) -> tuple[list[list[str]], list[int]]:
    """Keep the good rows."""
    kept_rows, kept_lines = [], []
    for row, line, reason in zip(rows, lines, reasons, strict=True):
        if reason is None:
            kept_rows.append(row)
            kept_lines.append(line)
        else:
            bad.append(BadRow(line, reason, row))
    return kept_rows, kept_lines
