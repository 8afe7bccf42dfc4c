"""Answers are read without a service, and those of newer services, too."""

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from postlude import NotPostlude, answers
from postlude.answers import Answer
from postlude.models import Flow
from postlude.problems import ArgsInvalid, Conflict, Problem

JOB = {"id": "a", "kind": "note", "state": "queued"}


def answer_with(body: Any, status: int = 200, sort: str = "application/json") -> Answer:
    return Answer(status, {"content-type": sort}, json.dumps(body).encode(), "http://here/v1/jobs")


def problem(status: int, name: str, **more: Any) -> Answer:
    body = {"type": f"urn:postlude:problem:{name}", "title": "No", "status": status, "detail": "No.", **more}
    return answer_with(body, status, "application/problem+json")


def test_times_are_aware() -> None:
    job = answers.read_job(answer_with({**JOB, "run_at": "2026-01-31T12:00:00.000000Z"}))
    assert job.run_at == datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    assert job.run_at.tzinfo is not None


def test_what_a_newer_service_tells_is_kept() -> None:
    job = answers.read_job(answer_with({**JOB, "state": "hibernating", "mood": "good", "progress": None}))
    assert (job.state, job.ended, job.model_extra) == ("hibernating", False, {"mood": "good"})


def test_a_problem_is_raised_as_its_class_with_all_that_it_says() -> None:
    errors = [{"loc": ["args", "email"], "msg": "Field required", "type": "missing"}]
    with pytest.raises(ArgsInvalid) as raised:
        answers.read_job(problem(422, "args-invalid", errors=errors))
    assert (raised.value.status, raised.value.title, raised.value.detail) == (422, "No", "No.")
    assert raised.value.problem["errors"] == raised.value.errors == errors
    assert str(raised.value) == "No. args.email: Field required"


def test_a_newer_problem_is_raised_by_its_status() -> None:
    with pytest.raises(Conflict):
        answers.check(problem(409, "something-newer"))
    with pytest.raises(Problem) as raised:
        answers.check(problem(418, "teapot"))
    assert type(raised.value) is Problem


@pytest.mark.parametrize(
    "answer",
    [
        answer_with({"ok": True}),
        answer_with([]),
        answer_with({**JOB, "id": None}),
        Answer(200, {"content-type": "text/html"}, b"<html>", "http://here"),
        Answer(200, {}, b"", "http://here"),
        Answer(500, {"content-type": "application/problem+json"}, b'{"type": "urn:post', "http://here"),
        answer_with({"type": "about:blank", "status": 400}, 400, "application/problem+json"),
        answer_with("urn:postlude:problem:not-found", 404, "application/problem+json"),
    ],
)
def test_anything_else_is_not_postlude(answer: Answer) -> None:
    with pytest.raises(NotPostlude, match="http://here"):
        answers.read_job(answer)


def test_ids_of_a_batch_and_a_flow() -> None:
    assert answers.read_ids(answer_with({"jobs": [JOB, {**JOB, "id": "b"}]})) == ["a", "b"]
    assert answers.read(answer_with({"id": "f", "jobs": {"x": "a"}}), Flow).jobs == {"x": "a"}
