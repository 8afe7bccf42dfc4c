"""Decides which events a reader still needs. An event's id says how far the reader has come."""

import json
from dataclasses import dataclass
from typing import Any

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from sqlalchemy import RowMapping

from service.api.jobs.job_out import ErrorOut
from service.errors import Refused
from service.ledger.reads.history import BEGAN, Change, Position
from service.ledger.states import TERMINAL, Outcome, State
from service.web.moments import ShownMoment

EVENT_ID = r"^(\d{1,19}(\.\d{1,19}){2,4})?$"
Progress = tuple[int, int | None]


class StateEvent(BaseModel):
    """What a job has become. `outcome` and `error` belong to the attempt that ended; `result` is the job's."""

    state: State
    attempt: int
    at: ShownMoment | None
    outcome: Outcome | None
    error: ErrorOut | None
    result: Any


class ProgressEvent(BaseModel):
    """How far the running attempt is."""

    attempt: int
    done: int
    total: int | None


# A stream of events as OpenAPI (3.2, 4.14.4) and FastAPI describe it.
STREAM: dict[str, Any] = {
    "itemSchema": {
        "type": "object",
        "required": ["event", "id", "data"],
        "properties": {
            "event": {"enum": ["state", "progress"]},
            "id": {"type": "string", "description": "Where the reader is now; for `Last-Event-ID`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "oneOf": [{"$ref": f"#/components/schemas/{one.__name__}"} for one in (StateEvent, ProgressEvent)]
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job's row, and its changes so far."""

    job: RowMapping
    changes: list[Change]

    @property
    def ended(self) -> bool:
        return self.job["state"] in TERMINAL

    @property
    def began(self) -> Position:
        """The position at which the latest attempt began: progress belongs there."""
        return (self.job["attempt"], BEGAN, 0)

    @property
    def progress(self) -> Progress | None:
        done = self.job["progress_done"]
        return None if done is None else (done, self.job["progress_total"])


class Reader:
    """Knows how far one reader has come, from the id of the last event."""

    def __init__(self, position: Position | None = None, progress: Progress | None = None) -> None:
        self._position = position
        self._progress = progress

    @classmethod
    def at(cls, event_id: str) -> "Reader":
        """Return the reader who has read this event, or a new one for ''. Raises `Refused` for any other text."""
        if not event_id:
            return cls()
        parts = event_id.split(".")
        if not all(part.isdecimal() and len(part) < 20 for part in parts) or not 3 <= len(parts) <= 5:
            raise Refused("Last-Event-ID is not one of ours. Send back the last event's `id` as it came, or none.")
        attempt, step, moment, *progress = map(int, parts)
        done, total = [*progress, None, None][:2]
        return cls((attempt, step, moment), None if done is None else (done, total))

    def knows(self, snapshot: JobSnapshot) -> bool:
        """Whether the reader has been told of the newest change."""
        return self._position is not None and self._position >= snapshot.changes[-1].position

    def news(self, snapshot: JobSnapshot) -> list[bytes]:
        """Return the events since the last time; a new reader gets the present state alone."""
        position = self._position
        new = (
            snapshot.changes[-1:] if position is None else [one for one in snapshot.changes if one.position > position]
        )
        events: list[bytes] = []
        for change in new:
            events += self._tell_progress(snapshot)
            events.append(_state_event(change, snapshot.job))
            self._position, self._progress = change.position, None
        return events + self._tell_progress(snapshot)

    def _tell_progress(self, snapshot: JobSnapshot) -> list[bytes]:
        """Return an event for new progress: after the attempt has begun, and before it ends."""
        if self._position != snapshot.began or snapshot.progress in (None, self._progress):
            return []
        self._progress = snapshot.progress
        assert self._progress is not None
        done, total = self._progress
        event = ProgressEvent(attempt=snapshot.job["attempt"], done=done, total=total)
        known = (*snapshot.began, *(number for number in self._progress if number is not None))
        return [_event("progress", event, known)]


def _state_event(change: Change, job: RowMapping) -> bytes:
    error, result = change.error_type, job["result"]
    event = StateEvent(
        state=change.state,
        attempt=change.attempt,
        at=change.at,
        outcome=change.outcome,
        error=None if error is None else ErrorOut(type=error, message=change.error_message or ""),
        result=json.loads(result) if result is not None and change.state is State.SUCCEEDED else None,
    )
    return _event("state", event, change.position)


def _event(name: str, data: BaseModel, known: tuple[int, ...]) -> bytes:
    return format_sse_event(event=name, id=".".join(map(str, known)), data_str=data.model_dump_json())
