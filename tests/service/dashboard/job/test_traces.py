"""A traceback is read line by line: whose frames they are, and what was raised."""

import json
import traceback
from pathlib import Path

import service
from service.dashboard.job.traces import lines_of

HOME = Path(service.__file__).parents[1]

TRACE = f"""Traceback (most recent call last):
  File "{HOME}/service/worker/performing/attempt.py", line 88, in perform
    result = await run_under_timeout(function, context, args)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/.venv/lib/python3.12/site-packages/httpx/_client.py", line 7, in send
    raise error
  File "/usr/lib/python3.12/asyncio/tasks.py", line 520, in wait_for
  File "{HOME}/jobs/webhook/kind.py", line 57, in judge
    raise ReceiverFailed(status)
jobs.webhook.failures.ReceiverFailed: HTTP 500
    with <b>two</b> lines

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop/orders.py", line 3, in pay
    1 / 0
    ~~^~~
ZeroDivisionError: division by zero
"""


def test_own_frames_stand_out_from_those_of_libraries_and_of_the_engine() -> None:
    told = lines_of(TRACE)
    assert [one.text for one in told if one.sort == "own"] == [
        "jobs/webhook/kind.py:57 in judge",
        "    raise ReceiverFailed(status)",
        "/srv/shop/orders.py:3 in pay",
        "    1 / 0",
    ]
    assert [one.text for one in told if one.sort == "lib"] == [
        "service/worker/performing/attempt.py:88 in perform",
        "    result = await run_under_timeout(function, context, args)",
        "httpx/_client.py:7 in send",
        "    raise error",
        "asyncio/tasks.py:520 in wait_for",
    ]
    assert next(one.text for one in told if one.sort == "raise") == "jobs.webhook.failures.ReceiverFailed: HTTP 500"
    assert [one.text for one in told if one.sort == "between"] == [
        "During handling of the above exception, another exception occurred:"
    ]
    assert told[-1].text == "ZeroDivisionError: division by zero"


def test_what_python_writes_today_is_understood() -> None:
    try:
        json.loads("{")
    except ValueError:
        told = lines_of(traceback.format_exc())
    assert any(one.sort == "lib" and one.text.startswith("json/decoder.py:") for one in told)
    assert any(one.sort == "own" and "in test_what_python_writes_today" in one.text for one in told)
    assert told[-1].sort == "raise"


def test_text_that_is_no_traceback_is_shown_as_it_is() -> None:
    assert [one.text for one in lines_of("Traceback: no luck")] == ["Traceback: no luck"]
    assert lines_of("") == []
