"""A job with its attempts, made up before they are recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import uuid_utils
from pydantic_core import to_json

from jobs import Catalogue
from jobs.kit.outcomes import to_timedelta
from service.demo.staff import Staff
from service.demo.troubles import Line, Trouble
from service.ledger.models import NewJob
from service.ledger.states import COUNTS_AS_FAILURE, TERMINAL, Outcome, State, state_after
from service.lifecycle.new_job import new_job
from service.options import Options

TAG = "demo"
# Workers claim all due jobs together, so attempts begin in steps.
_STEP_S = 20.0
_CLAIM = timedelta(milliseconds=35)
_RANDOM_BITS = 80


@dataclass(slots=True)
class Attempt:
    """An ended attempt of a job that was due at `due_at`. If the job goes on, it does so at `run_at`."""

    worker: str
    at: datetime
    due_at: datetime
    ended_at: datetime
    outcome: Outcome
    state: State
    trouble: Trouble | None = None
    result: str | None = None
    run_at: datetime | None = None
    lines: Sequence[Line] = ()


@dataclass(slots=True)
class Story:
    """A job, and what became of it."""

    job: NewJob
    attempts: list[Attempt] = field(default_factory=list)
    cancelled_at: datetime | None = None

    @property
    def state(self) -> State:
        if self.cancelled_at is not None:
            return State.CANCELLED
        return self.attempts[-1].state if self.attempts else self.job.state

    @property
    def due_at(self) -> datetime:
        """When its next attempt is due."""
        if not self.attempts:
            return self.job.run_at
        return self.attempts[-1].run_at or self.attempts[-1].ended_at

    @property
    def next_at(self) -> datetime:
        """When a worker claims its next attempt: new jobs together, others one by one."""
        return self.due_at + _CLAIM if self.attempts else step_of(self.due_at)

    @property
    def is_over(self) -> bool:
        return self.state in TERMINAL


class Author:
    """Makes stories, whose jobs all have the tag."""

    def __init__(self, catalogue: Catalogue, staff: Staff) -> None:
        self._catalogue = catalogue
        self.staff = staff

    def story(
        self,
        kind: str,
        args: Mapping[str, Any],
        at: datetime,
        *,
        tags: Sequence[str] = (),
        options: Options | None = None,
        **fields: Any,
    ) -> Story:
        """Let a job be enqueued; `fields` are those of `NewJob`."""
        declared = self._catalogue[kind]
        options = (options or Options())._replace(tags=(TAG, *tags))
        checked = declared.args_model.model_validate(dict(args))
        return Story(new_job(declared, checked, options, at, id=id_at(at), **fields))

    def succeed(
        self, story: Story, at: datetime, took_s: float, result: object = None, lines: Sequence[Line] = ()
    ) -> None:
        """Let the next attempt of a job succeed."""
        told = None if result is None else to_json(result).decode()
        ended = at + timedelta(seconds=took_s)
        done = (Outcome.SUCCEEDED, State.SUCCEEDED, None, told, None, lines)
        story.attempts.append(Attempt(self.staff.at_work(at), at, story.due_at, ended, *done))

    def fail(self, story: Story, at: datetime, trouble: Trouble, took_s: float) -> None:
        """Let the next attempt of a job fail. Its kind's delays say when, if at all, it is tried again."""
        failures = sum(one.outcome in COUNTS_AS_FAILURE for one in story.attempts) + 1
        state = state_after(trouble.outcome, failures=failures, max_attempts=story.job.max_attempts)
        ended, again = at + timedelta(seconds=took_s), None
        if state is State.RETRYING:
            delays = self._catalogue[story.job.kind].retry.delays or (60.0,)
            again = ended + to_timedelta(delays[min(failures, len(delays)) - 1])
        failed = (trouble.outcome, state, trouble, None, again, trouble.lines)
        story.attempts.append(Attempt(self.staff.at_work(at), at, story.due_at, ended, *failed))


def step_of(at: datetime) -> datetime:
    """Return when workers claim a job that comes due at this time."""
    return at + timedelta(seconds=_STEP_S - at.timestamp() % _STEP_S)


def just_before_claim(at: datetime) -> datetime:
    """Return a time soon after this one at which a job is claimed without a long wait."""
    return step_of(at) - _CLAIM


def id_at(at: datetime) -> str:
    """Return an id as one made then would be."""
    milliseconds = int(at.timestamp() * 1000)
    return str(UUID(int=(milliseconds << _RANDOM_BITS) | (uuid_utils.uuid7().int & ((1 << _RANDOM_BITS) - 1))))
