import json

import pytest
from pydantic import ValidationError

from jobs.app.verdict import LONGEST_RESULT, Failed, Interrupted, Succeeded, TimedOut, read_verdict


def test_each_verdict_is_read() -> None:
    assert read_verdict('{"outcome": "succeeded"}') == Succeeded(outcome="succeeded", result=None)
    assert read_verdict('{"outcome": "succeeded", "result": [1]}') == Succeeded(outcome="succeeded", result=[1])
    failed = read_verdict('{"outcome": "failed", "error": {"type": "E", "message": "m", "traceback": "t"}}')
    assert isinstance(failed, Failed)
    assert (failed.error.type, failed.error.message, failed.error.traceback) == ("E", "m", "t")
    assert isinstance(read_verdict('{"outcome": "timed_out"}'), TimedOut)
    assert isinstance(read_verdict('{"outcome": "interrupted", "new": true}'), Interrupted)


def test_the_text_of_an_error_that_is_no_unicode_is_read_all_the_same() -> None:
    error = {"type": "OSError", "message": "no file caf\udce9", "traceback": "\ud800"}
    failed = read_verdict(json.dumps({"outcome": "failed", "error": error}))
    assert isinstance(failed, Failed)
    assert (failed.error.message, failed.error.traceback) == ("no file caf?", "?")
    whole = read_verdict(json.dumps({"outcome": "succeeded", "result": "\U0001f600"}))
    assert whole == Succeeded(outcome="succeeded", result="\U0001f600")


def test_a_result_that_is_too_long_to_keep_does_not_undo_the_success() -> None:
    told = read_verdict(json.dumps({"outcome": "succeeded", "result": "x" * LONGEST_RESULT}))
    assert told == Succeeded(outcome="succeeded", result=None)


@pytest.mark.parametrize("line", ["", "null", "[]", "ok", "{}", '{"outcome": "done"}', '{"outcome": "failed"}', "<a>"])
def test_anything_else_is_no_verdict(line: str) -> None:
    with pytest.raises(ValidationError):
        read_verdict(line)


def test_what_is_nested_too_deeply_is_no_verdict() -> None:
    for lead in ("", '"\\ud800",'):
        with pytest.raises(ValueError):
            read_verdict(f'{{"outcome": "succeeded", "result": [{lead}{"[" * 100_000}{"]" * 100_000}]}}')
