"""The file of bad rows does nothing in a spreadsheet."""

from collections.abc import AsyncIterator

import pytest

from jobs.csv.errors_file import harmless, written
from jobs.csv.records import BadRow


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\uff1d1+1"])
def test_a_cell_that_looks_like_a_formula_is_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("x;=1+1", "x;'=1+1"),
        ('x; "@SUM(A1)"', 'x; "\'@SUM(A1)"'),
        ("x\n+1;-1", "x\n'+1;'-1"),
        ("\n=1", "'\n'=1"),
        ("a-b; c=d", "a-b; c=d"),
    ],
)
def test_a_formula_within_a_cell_is_text_where_semicolons_separate_cells(cell: str, shown: str) -> None:
    assert harmless(cell) == shown


def test_a_long_run_of_line_ends_takes_no_longer_than_other_cells() -> None:
    """The longest cell that is kept, many times over: looked through again from each line end, it would take hours."""
    run = "\n" * 2_000_000
    assert harmless(f"a{run}=1") == f"a{run}'=1"


async def test_a_bad_row_stands_with_its_line_and_reason() -> None:
    async def rows() -> AsyncIterator[BadRow]:
        yield BadRow(7, "is odd", ["=cmd()", 'a "b"', "\udcff"])

    content = b"".join([chunk async for chunk in written(rows())])
    assert content == b'\xef\xbb\xbfline,reason,row\r\n7,is odd,\'=cmd(),"a ""b""",?\r\n'
