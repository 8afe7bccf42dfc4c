"""What has happened to a job, told from its row and its attempts: every process tells the same story at any time.

Each change of state has a position: (attempt, step, moment). Positions only grow, so a position says what its reader
has seen.

    (n, 0, 0)   attempt n began
    (n, 1, 0)   attempt n ended; for n = 0, the job was recorded
    (n, 2, µs)  the job has since come due, expired, been cancelled or been replayed
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.ledger.states import TERMINAL, WAITING, Counts, Outcome, State

Position = tuple[int, int, int]
BEGAN, _ENDED, _SINCE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a job's state. `outcome`, `error_type` and `error_message` are those of the attempt that ended."""

    position: Position
    state: State
    attempt: int
    at: datetime | None
    outcome: Outcome | None = None
    error_type: str | None = None
    error_message: str | None = None


def changes(job: Mapping[Any, Any], attempts: Sequence[Mapping[Any, Any]], *, max_crashes: int) -> list[Change]:
    """Return every change that the row and the attempts still show, first to last; the last is the job's state now.

    A state that came and went between two attempts (a retry that came due) has left no trace, so it is missing.
    Attempts are read after their row: what they show beyond it is left to the next look, whose row has its result.
    """
    known = [attempt for attempt in attempts if attempt["number"] <= job["attempt"]]
    now = _now(job, known)
    told = [change for change in _of_attempts(job, known, max_crashes) if change.position < now.position]
    return [*told, now]


def _of_attempts(job: Mapping[Any, Any], attempts: Sequence[Mapping[Any, Any]], max_crashes: int) -> Iterator[Change]:
    counts = Counts()
    for attempt in attempts:
        number = attempt["number"]
        yield Change((number, BEGAN, 0), State.RUNNING, number, attempt["started_at"])
        if attempt["outcome"] is None:
            continue
        outcome, error_type = Outcome(attempt["outcome"]), attempt["error_type"]
        state = counts.end(outcome, error_type, max_attempts=job["max_attempts"], max_crashes=max_crashes)
        yield _ended(attempt, state, attempt["finished_at"])


def _ended(attempt: Mapping[Any, Any], state: State, at: datetime | None) -> Change:
    return Change(
        (attempt["number"], _ENDED, 0),
        state,
        attempt["number"],
        at,
        Outcome(attempt["outcome"]),
        attempt["error_type"],
        attempt["error_message"],
    )


def _now(job: Mapping[Any, Any], attempts: Sequence[Mapping[Any, Any]]) -> Change:
    """Return the change that brought the job to its present state."""
    state, number = State(job["state"]), job["attempt"]
    if state is State.RUNNING:
        return Change((number, BEGAN, 0), state, number, job["started_at"])
    latest = attempts[-1] if attempts else None
    if latest is not None and latest["outcome"] is not None and _ended_so(job, state, latest):
        return _ended(latest, state, latest["finished_at"])
    if number == 0 and state in WAITING and (state is State.SCHEDULED or job["run_at"] <= job["created_at"]):
        return Change((0, _ENDED, 0), state, 0, job["created_at"])
    at: datetime = job["run_at"] if state in WAITING else job["finished_at"]
    error = (job["error_type"], job["error_message"])
    return Change((number, _SINCE, int(at.timestamp() * 1_000_000)), state, number, at, None, *error)


def _ended_so(job: Mapping[Any, Any], state: State, latest: Mapping[Any, Any]) -> bool:
    """Whether the job is still in the state to which its latest attempt brought it."""
    if state in TERMINAL:
        return bool(job["finished_at"] == latest["finished_at"])
    if state is State.QUEUED:  # a replay forgets when the job was started
        return latest["outcome"] in (Outcome.CRASHED, Outcome.INTERRUPTED) and job["started_at"] is not None
    return state is State.RETRYING
