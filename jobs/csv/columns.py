"""The columns of a target, and which one each column of a file goes into."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.kit.outcomes import Discard

ColumnType = Literal["text", "integer", "decimal", "float", "boolean", "date", "datetime", "json"]
LONGEST_NAME = 255
_SHOWN = 20


class ColumnsDoNotFit(Discard):
    """The columns of the file and of the target do not match."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a target.

    `is_required`: every row must have it. `low` and `high` bound its integers. `has_zone`: its times are moments.
    `is_kept_as_text`: its target has no type for its values, and keeps them as Python writes them.
    """

    name: str
    type: ColumnType = "text"
    is_nullable: bool = True
    is_required: bool = False
    low: int | None = None
    high: int | None = None
    has_zone: bool = True
    is_kept_as_text: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The column of a file at `index` goes into `column`."""

    index: int
    header: str
    column: Column


def folded(name: str) -> str:
    """Return a name in the form in which names are compared: `E-Mail Address` is `e_mail_address`."""
    return re.sub(r"\W+", "_", name.strip().casefold()).strip("_")


def column_number(name: str) -> int | None:
    """Return which column of a file a name such as `#2` stands for, from 1; None if it is an ordinary name."""
    found = re.fullmatch(r"#([0-9]{1,4})", name)
    return None if found is None else int(found[1])


def match(headers: Sequence[str], mapping: Mapping[str, str | None], columns: Sequence[Column] | None) -> list[Match]:
    """Return what goes where, in the order of the file. Raises `ColumnsDoNotFit`.

    `columns` is None if the target takes any names that the file has.
    """
    mapped = _mapped(mapping, headers)
    found = []
    for index, header in enumerate(headers):
        if index in mapped:
            goal = mapped[index]
            column = None if goal is None else _named(goal, columns)
        else:
            column = _by_header(header, columns)
        if column is not None:
            found.append(Match(index, header, column))
    _check(found, headers, columns)
    return found


def _mapped(mapping: Mapping[str, str | None], headers: Sequence[str]) -> dict[int, str | None]:
    """Return where each column of the file should go, by its position."""
    names: dict[int, str] = {}
    for name in mapping:
        index = _index_of(name, headers)
        if index in names:
            raise ColumnsDoNotFit(
                f"mapping names the column #{index + 1} {headers[index]!r} twice, as {names[index]!r} and as {name!r}."
                " Name it once."
            )
        names[index] = name
    return {index: mapping[name] for index, name in names.items()}


def _index_of(name: str, headers: Sequence[str]) -> int:
    number = column_number(name)
    if number is not None and 1 <= number <= len(headers):
        return number - 1
    same = [index for index, header in enumerate(headers) if header == name]
    same = same or [index for index, header in enumerate(headers) if folded(name) and folded(header) == folded(name)]
    if not same:
        raise ColumnsDoNotFit(f"mapping names the column {name!r}, but the file has {_listed(headers)}.")
    if len(same) > 1:
        numbers = " or ".join(f"#{index + 1}" for index in same)
        raise ColumnsDoNotFit(f"The file has the column {name!r} more than once: name it {numbers} in mapping.")
    return same[0]


def _named(goal: str, columns: Sequence[Column] | None) -> Column:
    if columns is None:
        return Column(goal)
    named = next((column for column in columns if column.name == goal), None)
    if named is None:
        names = _listed([column.name for column in columns])
        raise ColumnsDoNotFit(f"mapping names {goal!r}, which is not a column of the target: it has {names}.")
    return named


def _by_header(header: str, columns: Sequence[Column] | None) -> Column | None:
    if columns is None:
        if len(header) > LONGEST_NAME:
            raise ColumnsDoNotFit(
                f"The column {header[:_SHOWN]!r}… has a name of {len(header):,} characters, not {LONGEST_NAME}:"
                " name it by its number in mapping, or set it to null to leave it out."
            )
        return Column(header) if header else None
    exact = next((column for column in columns if column.name == header), None)
    return exact or next(
        (column for column in columns if folded(header) and folded(column.name) == folded(header)), None
    )


def _check(found: Sequence[Match], headers: Sequence[str], columns: Sequence[Column] | None) -> None:
    names = None if columns is None else [column.name for column in columns]
    if not found:
        raise ColumnsDoNotFit(
            f"No column of the file matches one of the target's. The file has {_listed(headers)}"
            + (f", the target {_listed(names)}" if names else "")
            + ": say in mapping what goes where."
        )
    twice = [name for name, count in Counter(one.column.name for one in found).items() if count > 1]
    if twice:
        both = [f"#{one.index + 1} {one.header!r}" for one in found if one.column.name == twice[0]]
        raise ColumnsDoNotFit(
            f"Several columns of the file go into {twice[0]!r}: {', '.join(both)}. Set the others to null in mapping."
        )
    given = {one.column.name for one in found}
    missing = [column.name for column in columns or () if column.is_required and column.name not in given]
    if missing:
        raise ColumnsDoNotFit(
            f"The target needs {_listed(missing)}, but no column of the file has it. The file has {_listed(headers)}."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:100]) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
