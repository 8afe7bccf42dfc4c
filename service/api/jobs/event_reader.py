"""Decides which events a reader still needs. An event's id says how far the reader has come."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from sqlalchemy import RowMapping

from service.api.jobs.facts import LineOut
from service.errors import Refused
from service.ledger.reads.history import BEGAN, Change, Position
from service.ledger.reads.log_lines import LinePosition, LogLine
from service.ledger.states import TERMINAL, Outcome, State
from service.web.jobs.job_out import ErrorOut
from service.web.moments import ShownMoment

EVENT_ID = r"^(\d{1,19}(\.\d{1,19}){2,4}(-\d{1,10}\.\d{1,10})?)?$"
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
    """The progress of the running attempt."""

    attempt: int
    done: int
    total: int | None


# A stream of events as OpenAPI (3.2, 4.14.4) and FastAPI describe it.
STREAM: dict[str, Any] = {
    "itemSchema": {
        "type": "object",
        "required": ["event", "id", "data"],
        "properties": {
            "event": {"enum": ["state", "progress", "log"]},
            "id": {"type": "string", "description": "Where the reader is now; for `Last-Event-ID`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "oneOf": [
                        {"$ref": f"#/components/schemas/{one.__name__}"} for one in (StateEvent, ProgressEvent, LineOut)
                    ]
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job's row, its changes so far, and the lines that its reader has not seen."""

    job: RowMapping
    changes: list[Change]
    lines: Sequence[LogLine] = ()

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
    """Tracks how far one reader has read, from the id of the last event.

    `line` is the position of the last line read, which only readers of the log have. `sees_results` is False
    for readers who may not see args either.
    """

    def __init__(
        self, position: Position | None = None, progress: Progress | None = None, line: LinePosition | None = None
    ) -> None:
        self.line = line
        self.sees_results = True
        self._position = position
        self._progress = progress

    @classmethod
    def at(cls, event_id: str) -> "Reader":
        """Return the reader who has read this event, or a new one for ''. Raises `Refused` for any other text."""
        if not event_id:
            return cls()
        if not re.fullmatch(EVENT_ID, event_id, re.ASCII):
            raise Refused("Last-Event-ID is not one of ours. Send the last event's `id` back unchanged, or none.")
        states, _, line = event_id.partition("-")
        attempt, step, moment, *progress = map(int, states.split("."))
        done, total = [*progress, None, None][:2]
        in_attempt, number = map(int, (line or "0.0").split("."))
        return cls(
            (attempt, step, moment), None if done is None else (done, total), (in_attempt, number) if line else None
        )

    def knows(self, snapshot: JobSnapshot) -> bool:
        """Whether the reader has seen the newest change."""
        return self._position is not None and self._position >= snapshot.changes[-1].position

    def news(self, snapshot: JobSnapshot) -> list[bytes]:
        """Return the events since the last call; a new reader gets only the present state."""
        position = self._position
        new = (
            snapshot.changes[-1:] if position is None else [one for one in snapshot.changes if one.position > position]
        )
        events: list[bytes] = []
        for change in new:
            events += self._tell_progress(snapshot)
            if change.state in TERMINAL and change is new[-1]:
                self._position = self._position or snapshot.began
                events += self._tell_lines(snapshot)
            self._position, self._progress = change.position, None
            events.append(self._event("state", self._state_event(change, snapshot.job)))
        return [*events, *self._tell_progress(snapshot), *self._tell_lines(snapshot)]

    def _tell_lines(self, snapshot: JobSnapshot) -> list[bytes]:
        """Return an event for each line logged since, to be sent before the end that the reader waits for."""
        events: list[bytes] = []
        for line in snapshot.lines:
            if self.line is not None and (line.attempt, line.number) > self.line:
                self.line = (line.attempt, line.number)
                events.append(self._event("log", LineOut.of(line)))
        return events

    def _tell_progress(self, snapshot: JobSnapshot) -> list[bytes]:
        """Return an event for new progress, to be sent after the attempt has begun and before it ends."""
        if self._position != snapshot.began or snapshot.progress in (None, self._progress):
            return []
        self._progress = snapshot.progress
        assert self._progress is not None
        done, total = self._progress
        event = ProgressEvent(attempt=snapshot.job["attempt"], done=done, total=total)
        return [self._event("progress", event)]

    def _event(self, name: str, data: BaseModel) -> bytes:
        """Write an event, whose id says where the reader is after it."""
        assert self._position is not None
        known = (*self._position, *(number for number in self._progress or () if number is not None))
        line = "" if self.line is None else "-{}.{}".format(*self.line)
        return format_sse_event(event=name, id=".".join(map(str, known)) + line, data_str=data.model_dump_json())

    def _state_event(self, change: Change, job: RowMapping) -> StateEvent:
        error, result = change.error_type, job["result"] if self.sees_results else None
        return StateEvent(
            state=change.state,
            attempt=change.attempt,
            at=change.at,
            outcome=change.outcome,
            error=None if error is None else ErrorOut(type=error, message=change.error_message or ""),
            result=json.loads(result) if result is not None and change.state is State.SUCCEEDED else None,
        )
