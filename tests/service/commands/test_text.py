from typing import Any

import pytest

from service.commands import text

JOB: dict[str, Any] = {"id": "a", "kind": "k", "state": "failed", "attempt": 2, "failures": 2, "max_attempts": 5}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("abc\u202ecod.exe", "abc\\u202ecod.exe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_terminal_gets_nothing_that_it_would_obey(written: str, shown: str) -> None:
    assert text.harmless(written) == shown


def test_one_line_has_no_line_ends_and_no_tabs() -> None:
    assert text.one_line("a\nb\tc") == r"a\nb\tc"


def test_table_is_cut_at_the_width_of_the_terminal_only() -> None:
    job = JOB | {"error": {"type": "Boom", "message": "x" * 100}}
    cut = list(text.table([job], heading=True, width=60))
    assert [len(line) <= 60 for line in cut] == [True, True]
    assert cut[1].endswith("…")
    assert next(text.table([job], heading=False, width=None)).endswith("x" * 100)


def test_details_say_what_became_of_each_attempt() -> None:
    attempt = {"number": 2, "started_at": "t1", "worker": "w", "error": {"type": "Boom", "message": "a\nb"}}
    lines = list(text.details(JOB | {"attempts": [attempt], "args": {"n": 1}}))
    assert "attempt 2: running, t1 to now, on w" in lines
    assert lines[-2:] == ["  Boom: a", "  b"]
