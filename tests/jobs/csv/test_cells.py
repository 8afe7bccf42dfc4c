"""Cells become values; cells that do not fit their column are reported."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from jobs.csv.cells import BadCell, Cells, cells_of
from jobs.csv.columns import Column


def of(type_: Any, format_: str | None = None, **more: Any) -> Cells:
    comma = more.pop("decimal_comma", False)
    return cells_of(Column("c", type_, **more), format_, decimal_comma=comma)


@pytest.mark.parametrize(
    ("cells", "cell", "value"),
    [
        (of("text"), " x ", " x "),
        (of("text"), "", None),
        (of("text", is_nullable=False), "", ""),
        (of("integer"), " -12 ", -12),
        (of("integer"), " ", None),
        (of("decimal"), "1.50", Decimal("1.50")),
        (of("decimal", decimal_comma=True), "1.234,50", Decimal("1234.50")),
        (of("float"), "1e3", 1000.0),
        (of("boolean"), "Yes", True),
        (of("boolean"), "off", False),
        (of("date"), "2024-02-29", date(2024, 2, 29)),
        (of("date", "%d.%m.%Y"), "29.02.2024", date(2024, 2, 29)),
        (of("datetime"), "2024-01-02T03:04:05+01:00", datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)),
        (of("datetime"), "2024-01-02 03:04", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
        (of("datetime"), "2024-01-02 03:04:05,5+0100", datetime(2024, 1, 2, 2, 4, 5, 500_000, tzinfo=UTC)),
        (of("datetime"), "20240102T0304", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
        (of("datetime"), "2024-W01-2", datetime(2024, 1, 2, tzinfo=UTC)),
        (of("datetime", has_zone=False), "2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5)),  # noqa: DTZ001
        (of("json"), '{"a": [1]}', '{"a": [1]}'),
    ],
)
def test_a_cell_is_read_as_its_column_says(cells: Cells, cell: str, value: object) -> None:
    assert cells.read_one(cell) == value
    assert cells.read([cell]) in ([value], None)


@pytest.mark.parametrize(
    ("cells", "cell"),
    [
        (of("integer"), "1_000"),
        (of("integer"), "１２"),  # noqa: RUF001 - digits that Python takes
        (of("integer"), "1.0"),
        (of("integer", low=-10, high=10), "11"),
        (of("integer"), "9" * 5_000),
        (of("integer", is_nullable=False), ""),
        (of("decimal"), "NaN"),
        (of("decimal"), "1e99999999"),
        (of("decimal"), "1,5"),
        (of("decimal", is_kept_as_text=True), "1e400"),
        (of("decimal", is_kept_as_text=True), "9" * 400),
        (of("decimal", is_kept_as_text=True, decimal_comma=True), "9" * 400 + ",5"),
        (of("decimal", decimal_comma=True), "1.5"),
        (of("float"), "inf"),
        (of("float"), "1e999"),
        (of("boolean"), "2"),
        (of("date"), "2023-02-29"),
        (of("date"), "2024010299"),
        (of("date"), "20240102.5"),
        (of("date"), "20240102é"),
        (of("datetime"), "yesterday"),
        (of("datetime"), "2024-01-02 10.30"),
        (of("datetime"), "1712120210305"),
        (of("datetime"), "2024-01-02T10:00xZ"),
        (of("datetime"), "2024-01-02 10:00:00:5"),
        (of("json"), "{"),
        (of("json"), "NaN"),
        (of("json"), "[" * 100_000),
    ],
)
def test_what_is_no_value_is_refused_and_never_read_as_something_else(cells: Cells, cell: str) -> None:
    assert cells.read([cell]) is None
    with pytest.raises(BadCell):
        cells.read_one(cell)


@pytest.mark.parametrize(
    ("type_", "cells", "values"),
    [
        ("decimal", ["1.50", "", "-0", "12"], ["1.50", None, "-0", "12"]),
        ("decimal", ["007", "+1", ".5"], ["7", "1", "0.5"]),
        ("decimal", ["0.0000001"], ["1E-7"]),
        ("decimal", ["1\n2"], None),
        ("date", ["2024-02-29", ""], ["2024-02-29", None]),
        ("date", ["20240229"], ["2024-02-29"]),
        ("date", ["2023-02-29"], None),
    ],
)
def test_what_is_kept_as_text_is_the_same_text_however_it_is_read(
    type_: Any, cells: list[str], values: list[str | None] | None
) -> None:
    read = of(type_, is_kept_as_text=True).read(cells)
    assert (read and [None if one is None else str(one) for one in read]) == values
    if values is not None:
        one_by_one = [of(type_).read_one(cell) for cell in cells]
        assert [None if one is None else str(one) for one in one_by_one] == values


def test_text_that_is_kept_as_it_is_is_bad_where_it_must_not_be_empty() -> None:
    assert of("date", is_kept_as_text=True, is_nullable=False).read(["2024-02-29", ""]) is None
