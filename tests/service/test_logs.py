import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import logging
import sys

import structlog
from structlog.contextvars import bound_contextvars

from service import logs

logs.configure("INFO", sys.argv[1])
log = structlog.get_logger("service.worker")

def perform(args):
    try:
        raise ValueError("it broke")
    except ValueError as error:
        raise RuntimeError("so did this") from error

log.info("started", path=__import__("pathlib").Path("x"), count=3)
log.debug("below_the_level")
logging.getLogger("some.library").warning("library says %s", "hello")
logging.getLogger("httpx").info("HTTP Request: POST https://example.com/s3cret")
with bound_contextvars(job_id="j1", kind="greet", attempt=2):
    log.info("attempt_ended", outcome="succeeded")
    logging.getLogger("some.library").warning("from inside")
    structlog.get_logger("jobs.greet").bind(job_id="j1").info("greeted %s of %d", "Ann", 9)
    try:
        perform({"password": "s3" "cret"})  # in two, for Python 3.13 shows this very line
    except RuntimeError:
        log.exception("perform_failed")
        logging.getLogger("some.library").exception("library failed")
log.info("afterwards")
logging.getLogger("arq").addHandler(logging.StreamHandler())
logs.mute_arq()
logging.getLogger("arq.worker").info("greet(name='s3cret')")
logging.getLogger("arq.worker").warning("arq warns")
"""


@cache
def written(form: str) -> str:
    """Return what a process with these logs writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in written("json").splitlines()]


def line(event: str) -> dict[str, Any]:
    (found,) = [one for one in lines() if one["event"] == event]
    return found


def test_every_line_is_json_with_its_time_level_and_logger() -> None:
    for one in lines():
        assert one["timestamp"].endswith("Z")
        assert one["level"] in ("info", "warning", "error")
        assert one["logger"].startswith(("service.", "some.", "jobs.", "arq"))
    assert line("started")["count"] == 3


def test_libraries_write_the_same_lines() -> None:
    assert line("library says hello")["level"] == "warning"


def test_what_arq_warns_of_is_said_once_and_in_our_form() -> None:
    assert line("arq warns")["level"] == "warning"


@pytest.mark.parametrize("event", ["attempt_ended", "from inside", "greeted Ann of 9", "perform_failed"])
def test_what_is_said_during_an_attempt_carries_job_kind_and_attempt(event: str) -> None:
    said = line(event)
    assert (said["job_id"], said["kind"], said["attempt"]) == ("j1", "greet", 2)


def test_what_is_said_outside_of_attempts_does_not() -> None:
    assert not {"job_id", "kind", "attempt"} & line("afterwards").keys()


@pytest.mark.parametrize("event", ["perform_failed", "library failed"])
def test_an_exception_is_told_with_its_cause_and_its_frames(event: str) -> None:
    chain = line(event)["exception"]
    assert [(one["exc_type"], one["exc_value"]) for one in chain] == [
        ("RuntimeError", "so did this"),
        ("ValueError", "it broke"),
    ]
    assert "perform" in [frame["name"] for frame in chain[0]["frames"]]


def test_what_is_below_the_level_or_chatter_is_left_out() -> None:
    assert "below_the_level" not in written("json")
    assert "HTTP Request" not in written("json")


@pytest.mark.parametrize("form", ["json", "console"])
def test_args_are_never_logged_neither_by_tracebacks_nor_by_arq(form: str) -> None:
    assert "s3cret" not in written(form)


def test_the_console_is_for_people() -> None:
    text = written("console")
    assert "greeted Ann of 9" in text
    assert "Traceback (most recent call last)" in text
    assert "RuntimeError: so did this" in text
    assert "job_id=j1" in text
