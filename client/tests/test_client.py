"""The client for threads sends what it should, and pages as far as it is asked."""

import itertools
import json

import httpx
import pytest

from postlude import Client

pytestmark = pytest.mark.postlude("send")


def client_of(*answers: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    asked: list[httpx.Request] = []
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(left)

    return Client("http://127.0.0.1:1/base/", "key", transport=httpx.MockTransport(answer)), asked


def page(*ids: str, following: str | None) -> httpx.Response:
    jobs = [{"id": one, "kind": "note", "state": "failed"} for one in ids]
    return httpx.Response(200, json={"jobs": jobs, "next_cursor": following})


def test_requests_go_below_the_url_with_the_key() -> None:
    client, asked = client_of(httpx.Response(202, json={"id": "a", "kind": "note", "state": "queued"}))
    client.enqueue("note", {"text": "é"})
    [request] = asked
    assert str(request.url) == "http://127.0.0.1:1/base/v1/jobs"
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content)["args"] == {"text": "é"}


def test_pages_are_asked_for_as_they_are_needed() -> None:
    client, asked = client_of(page("a", "b", following="2"), page(following="3"), page("c", following=None))
    listed = client.list(state="failed")
    assert [job.id for job in itertools.islice(listed, 2)] == ["a", "b"]
    assert len(asked) == 1
    assert [job.id for job in listed] == ["c"]
    assert [request.url.params.get("cursor") for request in asked] == [None, "2", "3"]


def test_a_request_that_is_sent_again_is_the_same() -> None:
    busy = httpx.Response(503, headers={"retry-after": "0"})
    client, asked = client_of(busy, httpx.Response(202, json={"id": "a", "kind": "note", "state": "queued"}))
    client.enqueue("note")
    first, second = asked
    assert first.content == second.content
