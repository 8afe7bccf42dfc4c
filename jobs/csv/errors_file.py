"""The file of bad rows: their lines, what is wrong with them, and their cells, which no spreadsheet executes."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable

from jobs.csv.records import BadRow

_ROWS_AT_ONCE = 500
# What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection), in full width as well.
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where lists are separated by semicolons, spreadsheets ignore our commas and quotes: a cell may begin within one.
_BEGINNING_WITHIN = re.compile(r'([;\t\r\n][\s"]*+)([=+\-@\uff1d\uff0b\uff0d\uff20]?)')


async def written(bad_rows: AsyncIterator[BadRow]) -> AsyncIterator[bytes]:
    """Write bad rows as CSV, in UTF-8 with a byte order mark, which spreadsheets look for."""
    yield b"\xef\xbb\xbf" + _lines([["line", "reason", "row"]])
    waiting: list[list[str]] = []
    async for bad in bad_rows:
        waiting.append([str(bad.line), harmless(bad.reason), *map(harmless, bad.cells)])
        if len(waiting) >= _ROWS_AT_ONCE:
            yield _lines(waiting)
            waiting = []
    if waiting:
        yield _lines(waiting)


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    cell = _BEGINNING_WITHIN.sub(lambda found: f"{found[1]}'{found[2]}" if found[2] else found[1], cell)
    return f"'{cell}" if cell.startswith(_BEGINNINGS) else cell


def _lines(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")
