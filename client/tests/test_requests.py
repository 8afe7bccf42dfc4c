"""Requests are built without a service."""

import json
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl

import pytest

from postlude import NewJob, requests
from postlude.models import Job
from postlude.requests import Request

UTC = timezone.utc


def body_of(request: Request) -> dict[str, object]:
    body: dict[str, object] = json.loads(request.content or b"")
    return body


def test_a_job_has_an_id_and_only_the_options_that_were_given() -> None:
    request = requests.enqueue("note", {"text": "x"}, delay=timedelta(minutes=1), queue=None)  # type: ignore[arg-type]
    body = body_of(request)
    assert len(str(body.pop("id"))) == 36
    assert body == {"kind": "note", "args": {"text": "x"}, "delay": 60.0}
    assert (request.method, request.path) == ("POST", "/v1/jobs")


def test_a_key_of_ones_own_takes_the_place_of_the_id() -> None:
    first, second = (requests.enqueue("note", idempotency_key="k") for _ in range(2))
    assert first == second
    assert first.headers["idempotency-key"] == "k"
    assert "id" in body_of(requests.enqueue("note", idempotency_key="k", id="mine"))


def test_a_job_comes_after_jobs_and_ids() -> None:
    before = Job(id="a", kind="note", state="queued")
    assert body_of(requests.enqueue("note", after=[before, "b"]))["after"] == ["a", "b"]
    assert body_of(requests.enqueue("note", after=before))["after"] == ["a"]
    assert body_of(requests.enqueue("note", after="job"))["after"] == ["job"]


def test_what_is_no_job_is_refused_with_what_to_pass() -> None:
    for send in (lambda: list(requests.enqueue_many([{"kind": "note"}])), lambda: requests.flow({"a": "note"})):  # type: ignore[list-item, dict-item]
        with pytest.raises(TypeError, match=r"is no new job: pass NewJob\(kind, args\)"):
            send()
    with pytest.raises(TypeError, match="'NoneType' is no job"):
        requests.get(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="The id of the job is empty"):
        requests.get("")
    with pytest.raises(TypeError, match="'NoneType' is no job"):
        requests.enqueue("note", after=[None])  # type: ignore[list-item]


def test_many_jobs_are_split_by_their_number() -> None:
    sizes = [
        len(json.loads(request.content or b"")["jobs"])
        for request in requests.enqueue_many(NewJob("note") for _ in range(25_000))
    ]
    assert sizes == [10_000, 10_000, 5_000]
    assert list(requests.enqueue_many([])) == []


def test_many_jobs_are_split_by_their_size() -> None:
    large = NewJob("note", {"text": "x" * 900_000})
    bodies = [request.content or b"" for request in requests.enqueue_many([large] * 40)]
    assert len(bodies) == 3
    assert all(len(body) < 17 * 1024 * 1024 for body in bodies)
    assert sum(len(json.loads(body)["jobs"]) for body in bodies) == 40


def test_jobs_are_taken_from_an_iterator_as_they_are_needed() -> None:
    def endless() -> object:
        while True:
            yield NewJob("note")

    assert next(requests.enqueue_many(endless())).path == "/v1/jobs/batch"  # type: ignore[arg-type]


def test_ids_are_quoted_in_paths() -> None:
    assert requests.cancel("a/b?c d").path == "/v1/jobs/a%2Fb%3Fc%20d/cancel"


def test_filters_become_a_query() -> None:
    when = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))
    request = requests.list_jobs(
        {"state": ["failed", "cancelled"], "tag": "a&b", "created_after": when, "args": {"n": 7, "t": "7"}},
        order="asc",
        cursor="next",
    )
    assert parse_qsl(request.query) == [
        ("state", "failed"),
        ("state", "cancelled"),
        ("tag", "a&b"),
        ("created_after", "2026-01-31T12:00:00+01:00"),
        ("args.n", "7"),
        ("args.t", '"7"'),
        ("order", "asc"),
        ("limit", "100"),
        ("cursor", "next"),
    ]


def test_a_filter_that_names_nothing_is_not_left_out() -> None:
    with pytest.raises(ValueError, match="'kind' is empty"):
        requests.list_jobs({"kind": []})
    assert parse_qsl(requests.list_jobs({"tag": None, "flow": 7}).query)[0] == ("flow", "7")  # type: ignore[typeddict-item]


def test_a_change_tells_none_apart_from_nothing() -> None:
    assert body_of(requests.change("a", lane=None, run_at=datetime(2026, 1, 1, tzinfo=UTC))) == {
        "lane": None,
        "run_at": "2026-01-01T00:00:00Z",
    }


def test_what_takes_longer_is_given_longer() -> None:
    [batch] = requests.enqueue_many(NewJob("note") for _ in range(5_000))
    assert batch.takes_s == 5
    assert requests.get("a", wait_s=25).takes_s == 25
