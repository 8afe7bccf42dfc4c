"""What mypy accepts and rejects, on the samples in `typing/`, in one run."""

import re
from functools import cache
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "jobs" / "kit" / "typing"
MARK = re.compile(r"  # type: ignore\[([a-z-]+)\].*")
FOUND = re.compile(r"rejected\.py:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what mypy says of the samples, those that are rejected without their marks."""
    unmarked = tmp_path_factory.mktemp("typing") / "rejected.py"
    unmarked.write_text(MARK.sub("", (SAMPLES / "rejected.py").read_text()))
    shadow = ["--shadow-file", str(SAMPLES / "rejected.py"), str(unmarked)]
    samples = [str(path) for path in sorted(SAMPLES.glob("*.py"))]
    out, problems, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), *shadow, *samples])
    assert not problems
    return out


@cache
def marked() -> dict[int, str]:
    """Return the error code that each marked line expects, by line number."""
    lines = (SAMPLES / "rejected.py").read_text().splitlines()
    return {number: mark[1] for number, line in enumerate(lines, 1) if (mark := MARK.search(line))}


def test_kinds_as_they_should_be_are_accepted(said: str) -> None:
    assert "accepted.py" not in said


@pytest.mark.parametrize("number", marked())
def test_a_kind_that_does_not_hold_is_rejected(said: str, number: int) -> None:
    found = {int(line): code for line, code in FOUND.findall(said)}
    assert found.get(number) == marked()[number], said


def test_nothing_else_is_rejected(said: str) -> None:
    assert {int(line) for line, _ in FOUND.findall(said)} == set(marked()), said
