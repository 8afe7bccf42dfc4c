"""A record of the log becomes a line that any database takes, whatever it is made of."""

import logging
import sys
import time
from typing import Any

from pydantic_core import to_json

from service.worker.performing.log_record import MOST_TEXT, Line, read_record


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def record(msg: Any, *args: Any, name: str = "jobs.k", **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, msg, args, None)
    made.__dict__.update(fields)
    return made


def test_line_of_structlog_has_its_event_and_names_without_those_that_every_line_has() -> None:
    event = {"event": "begun", "rows": 3, "job_id": "j", "kind": "k", "attempt": 1, "level": "info", "_record": 1}
    assert read_record(record(event)) == Line("warning", "begun", False, {"rows": 3}, 5 + len("{'rows': 3}"))


def test_line_of_a_library_has_its_text_and_whose_it_is() -> None:
    assert read_record(record("%s of %d", "one", 2, name="a.library"))[1:4] == (
        "one of 2",
        False,
        {"logger": "a.library"},
    )


def test_what_is_long_is_cut_and_says_so() -> None:
    line = read_record(record({"event": "x" * 1_000_000, "big": "y" * 1_000_000}))
    assert (len(line.text), line.is_cut, len(line.names["big"])) == (MOST_TEXT, True, 1024)
    many = read_record(record({"event": "many", **{f"name{n}": "z" * 1000 for n in range(1_000)}}))
    assert many.names == {"left_out": "1000 names, which are too long"}
    assert many.size == len("many")


def test_what_no_database_takes_is_replaced() -> None:
    line = read_record(record({"event": "a\0b\ud800", "na\0me": "c\0\udfff", "deep": {"d\0": ["\ud800"]}}))
    assert line.text == "a\N{REPLACEMENT CHARACTER}b?"
    assert b"\\u0000" not in to_json(line.names)


def test_what_cannot_be_shown_costs_no_line() -> None:
    deep: list[Any] = []
    deep.append(deep)
    names = read_record(record({"event": "odd", "thing": Unspeakable(), "number": 1.5, "deep": deep})).names
    assert names["thing"] == "(cannot be shown: repr() raised RuntimeError)"
    assert to_json(names)


def test_whoever_logs_much_at_once_does_not_wait_for_it() -> None:
    wide = {f"a{n}": {f"b{m}": list(range(50)) for m in range(50)} for n in range(50)}
    deep: Any = list(range(100_000))
    for _ in range(7):
        deep = [deep]
    began = time.process_time()
    for _ in range(10):
        assert to_json(read_record(record({"event": "x", "wide": wide})).names)
        assert "too deeply" in repr(read_record(record({"event": "x", "deep": deep})).names)
    assert time.process_time() - began < 0.2


def test_what_is_named_as_a_secret_is_not_kept() -> None:
    event = {
        "event": "x",
        "password": "p",
        "Authorization": "a",
        "api_key": "k",
        "tokens": 17,
        "nested": [{"client-secret": {"a": 1}, "user": "ann"}],
        "session_token": None,
    }
    assert read_record(record(event)).names == {
        "password": "**********",
        "Authorization": "**********",
        "api_key": "**********",
        "tokens": 17,
        "nested": [{"client-secret": "**********", "user": "ann"}],
        "session_token": None,
    }


def test_error_is_told_with_its_traceback_and_without_variables() -> None:
    try:
        int("no number")
    except ValueError:
        lines = [
            read_record(record({"event": "failed", "exc_info": True})),
            read_record(record("failed", exc_info=sys.exc_info())),
        ]
    for line in lines:
        assert line.text.startswith("failed\nTraceback (most recent call last):\n")
        assert line.text.endswith("ValueError: invalid literal for int() with base 10: 'no number'\n")
