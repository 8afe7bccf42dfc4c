"""What became of an import."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from jobs.csv.columns import ColumnType
from jobs.csv.source import Source
from jobs.csv.targets import Batch, Standing
from jobs.kit.outcomes import PartialResult

SHOWN = 10
# A result may have 256 KiB. These bound all names of columns, all cells of a row, and the first rows as JSON.
_MOST_OF_NAMES, _MOST_OF_CELLS, _MOST_OF_ROWS = 20_000, 6_000, 64 * 1024
_SHORTEST = 20


class RowsRefused(ValueError):
    """Some rows of a file did not go in; the others did."""


class ColumnTaken(BaseModel):
    number: int = Field(description="The column's number in the file, from 1.")
    header: str = Field(description="Its name there; empty if the file has no header.")
    column: str = Field(description="The target's column that it goes into.")
    type: ColumnType


class Detected(BaseModel):
    encoding: str
    is_encoding_guessed: bool | None = Field(
        None,
        description="Whether the encoding was guessed from the file's bytes, because they have no byte order mark and"
        " are not valid UTF-8 text. Set `encoding` if the guess is wrong. Null if the import began with a version of"
        " Postlude that did not record it.",
    )
    delimiter: str
    header: bool
    columns: list[ColumnTaken]
    ignored: list[str] = Field(description="The headers of columns that go nowhere.")


class RowRefused(BaseModel):
    line: int = Field(description="The row's first line in the file, from 1.")
    reason: str


class ImportCsvResult(BaseModel, PartialResult):
    rows: int = Field(description="How many records the file has below its header, or how many a dry run read.")
    inserted: int = Field(description="New in the table, or handed to the target's kind.")
    updated: int
    skipped: int
    failed: int
    errors_file: str | None = Field(None, description="The id of a CSV file with the bad rows.")
    detected: Detected
    dry_run: bool = False
    is_whole: bool = Field(True, description="False if a dry run had no time for the whole file.")
    first_rows: list[dict[str, Any]] = Field([], description="In a dry run: the first rows as they would go in.")
    first_errors: list[RowRefused] = Field([], description="The first bad rows, and why.")

    @property
    def shortfall(self) -> Exception | None:
        if not self.failed or self.dry_run:
            return None
        return RowsRefused(f"{self.failed:,} of {self.rows:,} rows are bad: the file {self.errors_file} says why")


def detected_of(source: Source) -> Detected:
    """Return what was detected in a file."""
    layout, plan = source.layout, source.plan
    taken = {one.index for one in plan.matches}
    most = _share(_MOST_OF_NAMES, plan.width)
    return Detected(
        encoding=layout.encoding,
        is_encoding_guessed=source.is_encoding_guessed,
        delimiter=layout.delimiter,
        header=layout.has_header,
        columns=[
            ColumnTaken(
                number=at.index + 1,
                header=_cut(at.header, most) if layout.has_header else "",
                column=_cut(at.column.name, most),
                type=cells.column.type,
            )
            for at, cells in zip(plan.matches, plan.cells, strict=True)
        ],
        ignored=[_cut(header, most) for index, header in enumerate(source.headers) if index not in taken],
    )


def result_of(source: Source, standing: Standing, **more: Any) -> ImportCsvResult:
    """Return what became of the rows."""
    return ImportCsvResult(
        rows=standing.rows,
        inserted=standing.inserted,
        updated=standing.updated,
        skipped=standing.skipped,
        failed=standing.failed,
        detected=detected_of(source),
        **more,
    )


class FirstRows:
    """The first rows of a dry run as they would go in: long cells are cut, and the result's room is the limit."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self._room = _MOST_OF_ROWS

    def take(self, batch: Batch) -> None:
        names = [column.name for column in batch.columns]
        most = _share(_MOST_OF_CELLS, len(names))
        for row in islice(zip(*batch.values, strict=True), SHOWN - len(self.shown)):
            shown = {name: _shown(value, most) for name, value in zip(names, row, strict=True)}
            self._room -= len(to_json(shown))
            if self._room < 0:
                return
            self.shown.append(shown)


def _shown(value: Any, most: int) -> Any:
    if isinstance(value, date | Decimal):
        value = str(value)
    return _cut(value, most) if isinstance(value, str) else value


def _share(of: int, count: int) -> int:
    return max(_SHORTEST, of // count)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def first_errors(bad: Sequence[Any]) -> list[RowRefused]:
    """Return the first bad rows."""
    return [RowRefused(line=one.line, reason=one.reason) for one in bad]
