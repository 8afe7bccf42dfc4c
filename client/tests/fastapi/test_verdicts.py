import json
from typing import Any

import pytest

from postlude.fastapi.verdicts import INTERRUPTED, MOST_RESULT_BYTES, TIMED_OUT, failed, succeeded


def told(verdict: Any) -> Any:
    line = verdict.line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


@pytest.mark.parametrize("result", [None, 1, "é", [1.5, {"a": None}], {"b": [True]}])
def test_result_is_told(result: Any) -> None:
    assert told(succeeded(result)) == {"outcome": "succeeded", "result": result}


@pytest.mark.parametrize("result", [object(), {1, 2}, float("nan"), "x" * MOST_RESULT_BYTES, [[object()]]])
def test_result_that_is_no_json_or_too_large_is_left_out(result: Any) -> None:
    assert told(succeeded(result)) == {"outcome": "succeeded", "result": None}


def test_result_that_holds_itself_is_left_out() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert told(succeeded(endless)) == {"outcome": "succeeded", "result": None}


def test_other_outcomes_tell_nothing_else() -> None:
    assert told(INTERRUPTED) == {"outcome": "interrupted"}
    assert told(TIMED_OUT) == {"outcome": "timed_out"}


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("a\ud800\n\0"), Mute("x"), SystemExit(3), ValueError("x" * 100_000)])
def test_any_error_is_told_in_bounds(error: BaseException) -> None:
    verdict = told(failed(raised(error)))
    assert verdict["error"]["type"] == type(error).__name__
    assert len(verdict["error"]["traceback"]) <= 16 * 1024
    assert len(verdict["error"]["message"]) <= 4 * 1024
