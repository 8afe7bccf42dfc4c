"""Events go on after the last one that was read, until the job has ended."""

import json
from collections.abc import Iterable, Iterator

import httpx
import pytest

from postlude import AsyncClient, Client, NotPostlude
from postlude.models import ProgressEvent, StateEvent
from postlude.problems import JobNotFound

SSE = {"content-type": "text/event-stream; charset=utf-8"}
LOST = {"type": "urn:postlude:problem:job-not-found", "title": "Job not found", "status": 404, "detail": "Gone."}


def event(number: int, name: str, **data: object) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Service:
    """Answers each connection as told, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.asked: list[str] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/jobs/a/events"
        self.asked.append(request.headers.get("last-event-id", ""))
        return next(self._answers)


class Broken(httpx.SyncByteStream):
    """A stream that breaks off."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx.ReadError("reset")


def events(service: Service) -> list[StateEvent | ProgressEvent]:
    with Client("http://127.0.0.1:1", transport=httpx.MockTransport(service)) as client:
        return list(client.events("a"))


def stream(*pieces: bytes) -> httpx.Response:
    return httpx.Response(200, headers=SSE, content=b"".join(pieces))


def states(told: Iterable[StateEvent | ProgressEvent]) -> list[str]:
    return [one.state if isinstance(one, StateEvent) else f"{one.done}/{one.total}" for one in told]


def test_a_broken_stream_goes_on_after_the_last_whole_event() -> None:
    half = event(3, "state", state="succeeded")[:20]
    service = Service(
        httpx.Response(200, headers=SSE, stream=Broken(event(1, "state", state="queued"), half)),
        stream(event(2, "progress", attempt=1, done=1, total=2)),
        httpx.Response(503, headers={"retry-after": "0"}),
        stream(event(3, "state", state="succeeded", attempt=1, at="2026-01-31T12:00:00Z", result=7)),
    )
    told = events(service)
    assert states(told) == ["queued", "1/2", "succeeded"]
    assert isinstance(told[-1], StateEvent)
    assert (told[-1].result, told[-1].at and told[-1].at.tzinfo is not None) == (7, True)
    assert service.asked == ["", "1", "2", "2"]


def test_events_that_only_newer_clients_know_are_passed_over() -> None:
    service = Service(stream(event(1, "mood", value=1), event(2, "state", state="failed", mood=1)))
    assert states(events(service)) == ["failed"]


def test_nothing_is_left_to_tell_of_a_job_whose_end_is_known() -> None:
    assert events(Service(stream(event(1, "state", state="queued")), httpx.Response(204)))[1:] == []


def test_refusals_and_strangers_are_errors() -> None:
    with pytest.raises(JobNotFound):
        events(Service(httpx.Response(404, headers={"content-type": "application/problem+json"}, json=LOST)))
    with pytest.raises(NotPostlude):
        events(Service(httpx.Response(200, html="<html>")))


async def test_the_asynchronous_client_follows_in_the_same_way() -> None:
    service = Service(stream(event(1, "state", state="queued")), stream(event(2, "state", state="cancelled")))
    async with AsyncClient("http://127.0.0.1:1", transport=httpx.MockTransport(service)) as client:
        assert states([one async for one in client.events("a")]) == ["queued", "cancelled"]
    assert service.asked == ["", "1"]


def test_events_that_cannot_be_read_are_not_taken_for_postlude() -> None:
    with pytest.raises(NotPostlude, match=r"http://127.0.0.1:1/v1/jobs/a/events .* begins '\{\"price\": 7\}'"):
        events(Service(stream(event(1, "state", price=7))))
