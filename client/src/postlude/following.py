"""Follows a job's events, over as many connections as it takes."""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from postlude import answers, requests, strangers
from postlude.answers import Answer
from postlude.models import ENDED, Event, Job, ProgressEvent, StateEvent
from postlude.place import Place
from postlude.requests import Request
from postlude.retrying import Outcome, Patience, Tries
from postlude.sse import EventStream, ServerEvent

BROKE_OFF = httpx.RemoteProtocolError("the events broke off")
"""The outcome of a connection that ended before the job."""

_SHAPES: dict[str, type[StateEvent] | type[ProgressEvent]] = {"state": StateEvent, "progress": ProgressEvent}


class Following:
    """How far one reader of a job's events has come."""

    def __init__(self, job: str | Job, place: Place, patience: Patience) -> None:
        self._job, self._patience = job, patience
        self.url = place.url_of(requests.events(job))
        self._last_id = ""
        self._stream = EventStream()
        self._tries = self._begin_tries()
        self.is_over = False
        """Whether the reader knows that the job has ended."""

    def _begin_tries(self) -> Tries:
        return self._patience.tries(requests.events(self._job))

    def begin(self) -> tuple[Request, httpx.Timeout]:
        """Begin a connection: return a request for the events after the last one read."""
        self._stream = EventStream()
        return requests.events(self._job, after=self._last_id), self._tries.begin()

    def read(self, piece: bytes) -> Iterator[Event]:
        """Read a piece of the stream, skipping events that only a newer client knows."""
        self._tries = self._begin_tries()
        for event in self._stream.read(piece):
            self._last_id = event.id
            if event.name in _SHAPES:
                yield self._shown(event)

    def _shown(self, event: ServerEvent) -> Event:
        """Read an event. Raises `NotPostlude`."""
        try:
            shown = _SHAPES[event.name].model_validate_json(event.data)
        except ValidationError as error:
            sort = {"content-type": "text/event-stream"}
            raise strangers.stranger(Answer(200, sort, event.data.encode(), self.url)) from error
        self.is_over = isinstance(shown, StateEvent) and shown.state in ENDED
        return shown

    def pause_s(self, outcome: Outcome) -> float:
        """Return how long to wait before the next connection. Raises the error of `outcome` if there is none.

        An answer without content says that the job has ended, and that the reader knew.
        """
        if self.is_over:
            return 0
        wait_s = self._tries.wait_after(outcome)
        if wait_s is not None:
            return wait_s
        answer = self._tries.conclude(outcome, self.url)
        answers.check(answer)
        if answer.status != httpx.codes.NO_CONTENT:
            raise strangers.stranger(answer)
        self.is_over = True
        return 0


def is_stream(response: httpx.Response) -> bool:
    """Whether a response is a stream of events."""
    return response.status_code == httpx.codes.OK and response.headers.get("content-type", "").startswith(
        "text/event-stream"
    )
