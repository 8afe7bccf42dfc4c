import json
from datetime import timedelta

import pytest

from service.ledger.callbacks import Owner, Template, is_called, job_of
from service.ledger.models import Event
from service.ledger.states import State
from service.ledger.traits import Trait
from tests.service.ledger.makers import NOW

OWNER = Owner("a", "job", State.FAILED, '{"id":"a","state":"failed"}')


@pytest.mark.parametrize(
    ("event", "states"),
    [
        ("success", {State.SUCCEEDED}),
        ("failure", {State.FAILED, State.CANCELLED}),
        ("end", {State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    ],
)
def test_a_callback_is_called_for_its_event(event: Event, states: set[State]) -> None:
    assert {state for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED) if is_called(event, state)} == states


def test_a_template_becomes_a_job_with_the_times_of_its_owners_end() -> None:
    template = Template(
        "greet", "mail", '{"n": 1}', 5, priority=2, delay_s=60, expires_in_s=90, tags=("mine",), lane="a", timeout_s=3
    )
    job = job_of(template.to_json(), id="b", now=NOW, owner=OWNER)
    assert (job.id, job.kind, job.queue, job.args, job.max_attempts) == ("b", "greet", "mail", '{"n": 1}', 5)
    assert (job.priority, job.lane, job.timeout_s, job.tags) == (2, "a", 3, ("mine", "callback"))
    assert (job.state, job.run_at, job.created_at) == (State.SCHEDULED, NOW + timedelta(seconds=60), NOW)
    assert job.expires_at == NOW + timedelta(seconds=90)
    assert job.traits & Trait.PARENTS


def test_a_template_that_asks_is_told_what_ended_and_how_beside_its_secrets_too() -> None:
    template = Template("send_webhook", "default", '{"secret":"**"}', 5, sealed_args='{"secret":"s"}', told="data")
    job = job_of(template.to_json(), id="b", now=NOW, owner=OWNER)
    told = {"event": "job.failed", "data": {"id": "a", "state": "failed"}}
    assert job.state is State.QUEUED
    assert json.loads(job.args) == {"secret": "**", **told}
    assert json.loads(job.sealed_args or "") == {"secret": "s", **told}
