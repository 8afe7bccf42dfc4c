"""Turns cells into values, one column of a batch at a time, which takes a third of the time."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from jobs.csv.columns import Column, ColumnType

_INTEGER = re.compile(r"\s*[-+]?[0-9]+\s*")
_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?\s*")
_BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "off", "0"), False
)
# The usual spellings; others are folded first.
_QUICK_BOOLEANS = {write(word): meant for word, meant in _BOOLEANS.items() for write in (str, str.upper, str.title)}
# No database has numbers with more digits, and Python takes long to read them.
_MOST_DIGITS = 1_000
_SHOWN = 60
_LENGTH_OF_DATE, _LENGTH_OF_MOMENT = len("2026-01-02"), len("2026-01-02T10:30:00")
_TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?|[0-9]{2}(?:[0-9]{2}(?:[.,][0-9]+)?)?)?"
_ZONE = r" ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2}(?:\.[0-9]+)?)?)?)"
# Any character but a digit may stand between the day and its time: Python takes `1712120210305` for a moment of 1712.
_MOMENT = re.compile(rf"[0-9]{{4}}-?(?:[0-9]{{2}}-?[0-9]{{2}}|W[0-9]{{2}}(?:-?[0-9])?)(?:[^0-9]{_TIME}(?:{_ZONE})?)?")
# Cells, one in each line, that are empty or are written as Python writes their values.
_PLAIN_DECIMAL = r"(?:-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,6})?)?"
_PLAIN_DECIMALS = re.compile(rf"{_PLAIN_DECIMAL}(?:\n{_PLAIN_DECIMAL})*+")
_PLAIN_DATE = "(?:[0-9]{4}-[0-9]{2}-[0-9]{2})?"
_PLAIN_DATES = re.compile(rf"{_PLAIN_DATE}(?:\n{_PLAIN_DATE})*+")
_LETTERS = re.compile("[A-Za-z]")

Read = Callable[[str], Any]


class BadCell(ValueError):
    """A cell does not fit its column; the text says why."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Reads the cells of a column. `quick` reads most of them, and `surely` says what is wrong with the others.

    `are_written_so`, if set, tells whether cells are written exactly as their values would be.
    """

    column: Column
    surely: Read
    quick: Read
    are_written_so: Callable[[Sequence[str]], bool] | None = None

    def read(self, cells: Sequence[str]) -> Sequence[Any] | None:
        """Return the values of a column; None if one of them may be bad."""
        column = self.column
        has_empty = "" in cells
        if column.type == "text":
            return [cell or None for cell in cells] if column.is_nullable and has_empty else cells
        if has_empty and not column.is_nullable:
            return None
        if self.are_written_so is not None and self.are_written_so(cells):
            return [cell or None for cell in cells] if has_empty else cells
        read = self.quick
        try:
            values = [read(cell) if cell else None for cell in cells] if has_empty else list(map(read, cells))
        except (ValueError, ArithmeticError, LookupError, RecursionError):
            return None
        return values if self._is_sure(values, cells) else None

    def _is_sure(self, values: Sequence[Any], cells: Sequence[str]) -> bool:
        """Whether numbers are in bounds and plainly written, because Python accepts more spellings."""
        column = self.column
        if column.type not in ("integer", "decimal", "float"):
            return True
        joined = "".join(cells)
        if "_" in joined or not joined.isascii():
            return False
        if column.type == "decimal":  # no NaN, and nothing with millions of digits when written out
            return not _LETTERS.search(joined)
        some = [value for value in values if value is not None]
        if column.type == "float":
            return all(map(math.isfinite, some))
        return not some or (_is_between(column.low, min(some), None) and _is_between(None, max(some), column.high))

    def read_one(self, cell: str) -> Any:
        """Return the value of a cell. Raises `BadCell`."""
        column = self.column
        if column.type == "text":
            return None if column.is_nullable and not cell else cell
        if not cell.strip():
            if column.is_nullable:
                return None
            raise BadCell(f"{column.name} is empty")
        try:
            value = self.surely(cell)
        except (ValueError, ArithmeticError, LookupError, RecursionError):
            raise BadCell(f"{column.name} is not of type {column.type}: {_shown(cell)}") from None
        if column.type == "integer" and not _is_between(column.low, value, column.high):
            raise BadCell(f"{column.name} is out of range: {_shown(cell)}")
        return value


def cells_of(column: Column, format_: str | None = None, *, decimal_comma: bool = False) -> Cells:
    """Return the reader of a column's cells, whose times are written in `format_`, or else as in ISO 8601."""

    def moment(cell: str) -> datetime:
        return _moment(cell, format_, has_zone=column.has_zone)

    def day(cell: str) -> date:
        return _date(cell, format_)

    # SQLite keeps these as text only up to the range of a double, and makes infinity of what is beyond.
    exact = _finite_decimal if column.is_kept_as_text else _decimal
    decimal, float_ = (_with_comma(read) if decimal_comma else read for read in (exact, _float))
    ways: Mapping[ColumnType, tuple[Read, Read]] = {
        "text": (str, str),
        "integer": (_integer, int),
        "decimal": (decimal, decimal if decimal_comma or column.is_kept_as_text else Decimal),
        "float": (float_, float_ if decimal_comma else float),
        "boolean": (_boolean, _QUICK_BOOLEANS.__getitem__),
        "date": (day, day if format_ else _iso_date),
        "datetime": (moment, moment),
        "json": (_json, _json),
    }
    is_plain = column.is_kept_as_text and format_ is None and not decimal_comma
    return Cells(column, *ways[column.type], _ARE_WRITTEN_SO.get(column.type) if is_plain else None)


def _are_plain(cells: Sequence[str], plain: re.Pattern[str]) -> bool:
    lines = "\n".join(cells)
    return lines.count("\n") == len(cells) - 1 and plain.fullmatch(lines) is not None


def _are_decimals_written_so(cells: Sequence[str]) -> bool:
    return _are_plain(cells, _PLAIN_DECIMALS)


def _are_dates_written_so(cells: Sequence[str]) -> bool:
    try:
        return _are_plain(cells, _PLAIN_DATES) and all(map(date.fromisoformat, filter(None, cells)))
    except ValueError:  # not a day of any year
        return False


_ARE_WRITTEN_SO: Mapping[ColumnType, Callable[[Sequence[str]], bool]] = {
    "decimal": _are_decimals_written_so,
    "date": _are_dates_written_so,
}


def _integer(cell: str) -> int:
    if len(cell) > _MOST_DIGITS or not _INTEGER.fullmatch(cell):
        raise ValueError
    return int(cell)


def _decimal(cell: str) -> Decimal:
    if len(cell) > _MOST_DIGITS or not _NUMBER.fullmatch(cell):
        raise ValueError
    try:
        return Decimal(cell.strip())
    except InvalidOperation:
        raise ValueError from None


def _finite_decimal(cell: str) -> Decimal:
    number = _decimal(cell)
    if not math.isfinite(float(number)):
        raise ValueError
    return number


def _float(cell: str) -> float:
    if len(cell) > _MOST_DIGITS or not _NUMBER.fullmatch(cell) or not math.isfinite(number := float(cell)):
        raise ValueError
    return number


def _with_comma(read: Read) -> Read:
    def read_with_comma(cell: str) -> Any:
        whole, comma, part = cell.strip().partition(",")
        groups = whole.split(".")
        if "." in part or any(len(group) != 3 for group in groups[1:]):
            raise ValueError
        return read("".join(groups) + ("." if comma else "") + part)

    return read_with_comma


def _boolean(cell: str) -> bool:
    return _BOOLEANS[cell.strip().casefold()]


def _date(cell: str, format_: str | None) -> date:
    text = cell.strip()
    return datetime.strptime(text, format_).date() if format_ else _iso_date(text)  # noqa: DTZ007 - a day


def _iso_date(text: str) -> date:
    # Of ten bytes, Python takes `2026010299` for a date and passes over the last two.
    if not text.isascii() or (len(text) == _LENGTH_OF_DATE and text[4] != "-"):
        raise ValueError
    return date.fromisoformat(text)


def _moment(cell: str, format_: str | None, *, has_zone: bool) -> datetime:
    """Read a moment; one without a zone is in UTC."""
    text = cell.strip()
    moment = datetime.strptime(text, format_) if format_ else _iso_moment(text)  # noqa: DTZ007 - below
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC) if has_zone else moment
    moment = moment.astimezone(UTC)
    return moment if has_zone else moment.replace(tzinfo=None)


def _iso_moment(text: str) -> datetime:
    # Python takes `10.30` for ten o'clock and 0.3 seconds, and passes over a character before the zone.
    is_usual = len(text) == _LENGTH_OF_MOMENT and text[13] == ":" == text[16]
    if not (is_usual or _MOMENT.fullmatch(text)):
        raise ValueError
    return datetime.fromisoformat(text)


def _json(cell: str) -> str:
    def refuse(word: str) -> None:
        raise ValueError(word)

    json.loads(cell, parse_constant=refuse)
    return cell


def _is_between(low: int | None, value: int, high: int | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")
