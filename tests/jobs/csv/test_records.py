"""Records are the same however the file is read, and whatever it is, memory and time stay bounded."""

import io
import random

import pytest

from jobs.csv import lines
from jobs.csv.layout import Layout
from jobs.csv.lines import UNREADABLE, FileUnreadable
from jobs.csv.records import Records

COMMAS = Layout("utf-8", ",", has_header=True)


def read(content: bytes, most: int = 1_000, layout: Layout = COMMAS) -> list[tuple[int, list[str], bool]]:
    """Return all records with their lines, and whether they are good."""
    records = Records(io.BytesIO(content), layout)
    found = []
    while (taken := records.take(most)).count:
        found += [(line, row, True) for line, row in zip(taken.lines, taken.rows, strict=True)]
        found += [(row.line, row.cells, False) for row in taken.bad]
    return sorted(found)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'a,"x\ny"\n\n2,z', [(1, ["a", "x\ny"], True), (4, ["2", "z"], True)]),
        (b'1,"x\r\ny"\r2,"""q"""\r', [(1, ["1", "x\r\ny"], True), (3, ["2", '"q"'], True)]),
        (b"\xef\xbb\xbfa,b\n", [(1, ["a", "b"], True)]),
        (b"a,\xff\n", [(1, ["a", UNREADABLE], True)]),
        (b'1,"open\n2,b\n', [(1, ['1,"open'], False), (2, ["2", "b"], True)]),
        (b'1,"lone\n2,b\n3,"c"\n', [(1, ['1,"lone'], False), (2, ["2", "b"], True), (3, ["3", "c"], True)]),
        (b'1,"say "hi""\n2,b\n', [(1, ['1,"say "hi""'], False), (2, ["2", "b"], True)]),
        (b"", []),
        (b"\n\r\n\n", []),
    ],
)
def test_every_record_is_found_in_its_line(content: bytes, expected: object) -> None:
    assert read(content) == expected


def test_records_do_not_depend_on_how_many_are_taken_nor_on_how_the_file_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = ["a", '"', '""', ",", "\n", "\r\n", "\r", "é", 'x"y', '"q,\n"']
    for seed in range(100):
        chance = random.Random(seed)
        content = "".join(chance.choice(parts) for _ in range(chance.randrange(60))).encode()
        whole = read(content)
        for size in (1, 2, 7):
            monkeypatch.setattr(lines, "_PIECE_BYTES", size)
            assert read(content, 1 + seed % 3) == whole, content
        records = Records(io.BytesIO(content), COMMAS)
        half = len(whole) // 2
        assert records.skip(half) == half
        assert records.take(1_000).count == len(whole) - half
        monkeypatch.undo()


class Endless(io.RawIOBase):
    """A file of 40 MB that says the same again and again."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._left = 40 * 1024 * 1024

    def read(self, size: int = -1) -> bytes:
        self._left -= size
        return (self._said * (size // len(self._said) + 1))[:size] if self._left > 0 else b""


@pytest.mark.parametrize("said", [b"a", b"a,", b'"', b"\0"])
def test_a_line_without_an_end_is_refused_after_a_few_megabytes(said: bytes) -> None:
    records = Records(Endless(said), COMMAS)  # type: ignore[arg-type]
    with pytest.raises(FileUnreadable, match="Line 1 is longer"):
        records.take(10)
    assert records.bytes_read < 9 * 1024 * 1024


def test_a_field_without_an_end_is_refused() -> None:
    with pytest.raises(FileUnreadable, match="Line 2 has a field of more than 1,048,576"):
        read(b'a,b\n1,"' + b"x\n" * 700_000)


def test_a_long_way_of_empty_lines_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_PIECE_BYTES", 8)
    monkeypatch.setattr("jobs.csv.records._MOST_BYTES_AT_ONCE", 16)
    assert read(b"a\n" + b"\n" * 100 + b"b\n")[1][1:] == (["b"], True)


def test_rows_that_are_bad_one_after_the_other_cost_no_more_each_the_further_the_first_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again_from, count = lines.Lines.again_from, 10_000
    told: list[int] = []

    def counted(of: lines.Lines, line: int, to: int) -> list[str]:
        told.append(len(again := again_from(of, line, to)))
        return again

    monkeypatch.setattr(lines.Lines, "again_from", counted)
    found = read(b'"\n' + b'""x\n' * count + b'"z\n')
    assert [good for *_, good in found] == [False] * (count + 2)
    assert sum(told) < 3 * count
