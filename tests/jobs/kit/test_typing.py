"""What mypy accepts and rejects, on the samples in `typing/`, in one run."""

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "jobs" / "kit" / "typing"
MARK = re.compile(r"  # type: ignore\[([a-z-]+)\].*")
FOUND = re.compile(r"rejected\.py:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def test_kinds_as_they_should_be_are_accepted_and_each_that_does_not_hold_is_rejected(tmp_path: Path) -> None:
    unmarked = tmp_path / "rejected.py"
    unmarked.write_text(MARK.sub("", (SAMPLES / "rejected.py").read_text()))
    shadow = ["--shadow-file", str(SAMPLES / "rejected.py"), str(unmarked)]
    samples = [str(path) for path in sorted(SAMPLES.glob("*.py"))]
    said, problems, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), *shadow, *samples])
    assert not problems
    assert "accepted.py" not in said
    assert {int(line): code for line, code in FOUND.findall(said)} == marked()


def marked() -> dict[int, str]:
    """Return the error code that each marked line expects, by line number."""
    lines = (SAMPLES / "rejected.py").read_text().splitlines()
    return {number: mark[1] for number, line in enumerate(lines, 1) if (mark := MARK.search(line))}
