"""The parts of a context for its attempt alone, each made when it is first used: most attempts use none."""

from collections.abc import Awaitable
from typing import Any

from jobs.kit.steps import Given, Steps
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.worker.performing.enqueueing import Enqueueing
from service.worker.performing.progress import ProgressNotes
from service.worker.performing.steps import RecordedSteps


class AttemptTools:
    """The tools of a started attempt."""

    __slots__ = ("_enqueueing", "_given", "_ledger", "_notes", "_started", "_steps")

    def __init__(self, ledger: Ledger, enqueueing: Enqueueing, started: Started, given: Given) -> None:
        self._ledger = ledger
        self._enqueueing = enqueueing
        self._started = started
        self._given = given
        self._notes: ProgressNotes | None = None
        self._steps: Steps | None = None

    def progress(self, done: int, total: int | None = None) -> Awaitable[None]:
        if self._notes is None:
            self._notes = ProgressNotes(self._ledger, self._started.id, self._started.attempt)
        return self._notes(done, total)

    def enqueue(self, kind: str, args: Any = None, **options: Any) -> Awaitable[str]:
        return self._enqueueing.enqueue(self._started.id, kind, args, **options)

    def steps(self) -> Steps:
        if self._steps is None:
            self._steps = RecordedSteps(self._ledger, self._started, self._given)
        return self._steps
