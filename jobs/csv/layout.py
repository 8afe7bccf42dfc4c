"""How a CSV file is written: what separates its fields, and whether it has a header."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from jobs.csv.columns import folded
from jobs.csv.lines import allow_long_fields

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 200
_SEPARATOR = re.compile(r'^"?sep=([^"\r\n\0])"?\s*$')
# Values rather than names: numbers, dates, times, and the words for true and false.
_VALUE = re.compile(
    r"\s*(?:[-+]?[$€£]?\d[\d.,'\s]*(?:[eE][-+]?\d+)?\s*%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ][\d:.+Z-]+)?"
    r"|true|false|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[^@\s]+@[^@\s]+\.\w+)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """`skips_space`: blanks after a delimiter belong to no field. `first_line` is where records begin."""

    encoding: str
    delimiter: str
    has_header: bool
    skips_space: bool = False
    first_line: int = 1


def layout_of(
    lines: Sequence[str],
    encoding: str,
    delimiter: str | None,
    has_header: bool | None,
    names: frozenset[str] | None,
) -> Layout:
    """Detect the layout from the first lines. `names` are what a header may say, folded; None: anything."""
    first_line = 1
    if lines and (said := _SEPARATOR.match(lines[0])):
        delimiter, first_line, lines = delimiter or said[1], 2, lines[1:]
    best = Layout(encoding, ",", has_header=True, first_line=first_line)
    tried = [_with(best, one, lines) for one in ([delimiter] if delimiter else DELIMITERS)]
    best = max(tried, key=lambda one: _score(one, lines, names))
    if has_header is None:
        has_header = _has_header(rows_of(lines, best), names)
    return replace(best, has_header=has_header)


def rows_of(lines: Sequence[str], layout: Layout) -> list[list[str]]:
    """Read the first rows of a sample; errors in it are reported elsewhere."""
    allow_long_fields()

    def read() -> Iterator[list[str]]:
        reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=layout.skips_space)
        while True:
            try:
                yield next(reader)
            except csv.Error:
                continue
            except StopIteration:
                return

    return list(islice((row for row in read() if row), _SAMPLE_ROWS))


def _with(layout: Layout, delimiter: str, lines: Sequence[str]) -> Layout:
    """Split fields at `delimiter`. Blanks before quotes belong to no field, except blanks within a text."""
    plain = replace(layout, delimiter=delimiter)
    is_spaced = any(f'{delimiter} "' in line for line in lines)
    return replace(
        plain, skips_space=is_spaced and any(cell.startswith(' "') for row in rows_of(lines, plain) for cell in row)
    )


def _score(layout: Layout, lines: Sequence[str], names: frozenset[str] | None) -> tuple[float, ...]:
    """Score a delimiter: do its columns have the wanted names, the same number in each row, and values in them?"""
    rows = rows_of(lines, layout)
    if not rows:
        return (0.0,)
    known = sum(folded(cell) in names for cell in rows[0]) if names else 0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    cells = [cell for row in rows[1:] or rows for cell in row]
    values = sum(_VALUE.fullmatch(cell) is not None for cell in cells) / max(1, len(cells))
    steadiness = round(count / len(rows), 1)
    # A delimiter that is not in the first row is just a comma in the texts below it.
    return (float(known), float(width > 1 and len(rows[0]) > 1), steadiness, round(values, 1), float(width))


def _has_header(rows: Sequence[Sequence[str]], names: frozenset[str] | None) -> bool:
    """Whether the first row names the columns: it has wanted names, or no value."""
    if not rows:
        return True
    first = rows[0]
    if names and any(folded(cell) in names for cell in first):
        return True
    # A header consists of words: a first row with a value is like the others.
    return not any(cell.strip() and _VALUE.fullmatch(cell) for cell in first)
