"""Jobs as the service shows them."""

import pytest
from pydantic import ValidationError

from postlude import Job
from postlude.models import ENDED, LIVE, Replayed


def test_a_job_has_ended_or_is_live() -> None:
    assert not ENDED & LIVE
    assert all(Job(id="a", kind="k", state=state).ended for state in ENDED)
    assert not any(Job(id="a", kind="k", state=state).ended for state in LIVE)


def test_a_job_is_as_it_was_when_the_service_answered() -> None:
    job = Job(id="a", kind="k", state="queued")
    with pytest.raises(ValidationError):
        job.state = "running"  # type: ignore[misc]


def test_answers_to_a_replay_add_up() -> None:
    first = Replayed(matched=2, replayed=1, skipped={"args_invalid": 1}, next_cursor="on")
    last = Replayed(matched=3, replayed=1, skipped={"args_invalid": 1, "kind_unknown": 1})
    both = first.plus(last)
    assert (both.matched, both.replayed, both.next_cursor) == (5, 2, None)
    assert both.skipped == {"args_invalid": 2, "kind_unknown": 1}
