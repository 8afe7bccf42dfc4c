"""Polls are as long as the time that is left, and not sent in a tight loop."""

import pytest

from postlude import Job, Unreachable, WaitTimedOut
from postlude.waiting import Waiting

QUEUED = Job(id="a", kind="note", state="queued")


def test_polls_are_short_enough_for_proxies_and_for_the_time_left() -> None:
    assert Waiting("a", None).poll().query == "wait=25.000"
    assert Waiting("a", None).left_s is None
    assert Waiting(QUEUED, 60).poll().query == "wait=25.000"
    assert Waiting(QUEUED, 10).poll().takes_s <= 10
    assert Waiting(QUEUED, 0).poll().query == ""


def test_a_service_that_answers_at_once_is_not_asked_at_once() -> None:
    waiting = Waiting("a", None)
    waiting.poll()
    assert 0.5 < waiting.pause_s(QUEUED) <= 1
    waiting = Waiting("a", 0.3)
    waiting.poll()
    assert waiting.pause_s(QUEUED) <= 0.3, "the last poll is at the end"


def test_the_end_of_the_time_names_the_job_and_what_it_is() -> None:
    waiting = Waiting("a", 0)
    waiting.poll()
    with pytest.raises(WaitTimedOut, match="Job a has not ended within 0 s; it is queued"):
        waiting.pause_s(QUEUED)
    with pytest.raises(TimeoutError, match="it cannot be looked up: away"):
        waiting.check_time(Unreachable("away"))


def test_a_failure_before_the_end_of_the_time_is_itself() -> None:
    for waiting in (Waiting("a", 60), Waiting("a", None)):
        waiting.check_time(Unreachable("away"))
