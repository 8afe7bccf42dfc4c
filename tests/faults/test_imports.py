"""An import is killed again and again, and goes on with another batch size: no row is missing, and none comes twice."""

import csv
import io
import json
import random
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment, ran

_ROWS = 3_000
_WITHIN_S = 800  # for many seeds
_SEEDS = {"few": range(1, 2), "many": range(100, 150)}


def file_of(rows: int) -> tuple[str, list[list[object]], list[int]]:
    """Return a file with line breaks in its cells and bad rows; its good rows, and the lines of the bad ones."""
    chance = random.Random(7)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["number", "name"])
    good: list[list[object]] = []
    bad, line = [], 2
    for number in range(rows):
        name = chance.choice(["plain", 'quo"ted', "two\nlines", "three\r\nmore\nlines", "a,b"]) + str(number)
        broken = chance.random() < 0.02
        writer.writerow([f"x{number}" if broken else number, name])
        if broken:
            bad.append(line)
        else:
            good.append([number, name])
        line += 1 + name.count("\n")
    return text.getvalue(), good, bad


@pytest.mark.short("postgres", "few", "people")
@pytest.mark.parametrize("target", ["people", "kind"])
@pytest.mark.parametrize("seeds", _SEEDS)
def test_killed_at_any_moment_an_import_neither_repeats_nor_skips_a_row(
    database_url: str, tmp_path: Path, target: str, seeds: str
) -> None:
    content, good, bad = file_of(_ROWS)
    (tmp_path / "import.csv").write_text(content, newline="")
    command = [sys.executable, "-m", "tests.support.mortal_imports", database_url, str(tmp_path), target]
    done = ran([*command, *map(str, _SEEDS[seeds])], environment(), within_s=_WITHIN_S)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["seed"] for one in told] == list(_SEEDS[seeds])
    for one in told:
        assert one["rows"] == (good if target == "people" else _as_written(content))
        assert one["bad"] == (bad if target == "people" else [])
    assert sum(one["killed"] for one in told) >= len(told)


def _as_written(content: str) -> list[list[str]]:
    """Return all rows of a file: a kind takes them as they are."""
    return list(csv.reader(io.StringIO(content, newline="")))[1:]
