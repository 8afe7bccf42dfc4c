"""The states that a job has been in, first to last, told from its row and its attempts. Pure.

Only what the ledger keeps is shown: `run_at` is that of the latest wait, so an earlier wait may have been scheduled for
a part of its time; such a visit is `unsure`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from service.ledger.states import TERMINAL, Counts, Outcome, State

Row = Mapping[Any, Any]

# An attempt that begins this soon after its time did not wait for anything else.
_AT_ONCE = timedelta(seconds=1)


class Visit(NamedTuple):
    """A stay in a state; `until` is None for the present one. `attempt` is the one that ran."""

    state: State
    since: datetime
    until: datetime | None
    attempt: int | None = None
    outcome: Outcome | None = None
    unsure: bool = False

    def lasted(self, now: datetime) -> timedelta:
        return max((self.until or now) - self.since, timedelta(0))


class Total(NamedTuple):
    visits: int
    time: timedelta


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a job has gone through up to `now`. `left_out` counts its first attempts, which were not read."""

    visits: Sequence[Visit]
    now: datetime
    left_out: int = 0

    @property
    def here(self) -> Visit:
        return self.visits[-1]

    @property
    def ended_at(self) -> datetime | None:
        """When the job ended; None while it is live."""
        return self.here.since if self.here.state in TERMINAL else None

    @property
    def totals(self) -> Mapping[State, Total]:
        """How often the job was in each state, and for how long; an end lasts no time."""
        totals: dict[State, Total] = {}
        for visit in self.visits:
            visits, time = totals.get(visit.state, Total(0, timedelta(0)))
            lasted = timedelta(0) if visit is self.here and visit.state in TERMINAL else visit.lasted(self.now)
            totals[visit.state] = Total(visits + 1, time + lasted)
        return totals

    @property
    def moves(self) -> Mapping[tuple[State, State], int]:
        """How often the job went from one state to another."""
        moves: dict[tuple[State, State], int] = {}
        for one, following in zip(self.visits, self.visits[1:], strict=False):
            move = (one.state, following.state)
            moves[move] = moves.get(move, 0) + 1
        return moves

    @property
    def shares(self) -> Sequence[tuple[State, float]]:
        """The share of its time that the job was in each state, in the order of a job's life."""
        times = {state: total.time / timedelta(seconds=1) for state, total in self.totals.items()}
        whole = sum(times.values())
        return [(state, times[state] / whole) for state in _ORDER if times.get(state)] if whole else []


_ORDER = (
    State.SCHEDULED,
    State.BLOCKED,
    State.QUEUED,
    State.RUNNING,
    State.RETRYING,
    State.FAILED,
    State.CANCELLED,
)


def timeline(job: Row, attempts: Sequence[Row], now: datetime, *, max_crashes: int) -> Timeline:
    """Return a job's states; `attempts` are its latest ones, first to last, with the running one."""
    left_out = attempts[0]["number"] - 1 if attempts else 0
    return Timeline(list(_visits(job, attempts, now, max_crashes)), now, left_out)


def _visits(job: Row, attempts: Sequence[Row], now: datetime, max_crashes: int) -> Iterator[Visit]:
    counts = Counts()
    waits, since = _first_state(job), job["created_at"]
    for attempt in attempts:
        number, began, ended = attempt["number"], attempt["started_at"], attempt["finished_at"]
        if attempt is not attempts[0] or number == 1:  # before the first one that was read, nothing is known
            yield from _wait(waits, since, began, job["run_at"])
        if ended is None:
            yield Visit(State.RUNNING, began, None, number)
            return
        outcome = Outcome(attempt["outcome"])
        yield Visit(State.RUNNING, began, ended, number, outcome)
        waits = counts.end(outcome, attempt["error_type"], max_attempts=job["max_attempts"], max_crashes=max_crashes)
        since = ended
    yield from _last(job, waits, since, now)


def _last(job: Row, waits: State, since: datetime, now: datetime) -> Iterator[Visit]:
    """Return what came after the latest attempt, or after the enqueue."""
    state = State(job["state"])
    if state in TERMINAL:
        ended = job["finished_at"] or since
        if ended > since:
            yield from _wait(waits, since, ended, job["run_at"])
        yield Visit(state, ended, None)
        return
    came = since if state == waits else job["run_at"] if since < job["run_at"] <= now else since
    if came > since:
        yield Visit(waits, since, came)
    yield Visit(state, came, None)


def _first_state(job: Row) -> State:
    if job["blocked_by"] is not None:
        return State.BLOCKED
    return State.SCHEDULED if job["run_at"] > job["created_at"] else State.QUEUED


def _wait(waits: State, since: datetime, until: datetime, due: datetime) -> Iterator[Visit]:
    """Return a wait between `since` and `until`: its time came within it, or is no longer known."""
    is_known = since <= due <= until
    if waits is State.QUEUED or (waits is State.RETRYING and not (is_known and until - due > _AT_ONCE)):
        yield Visit(waits, since, until)
    elif is_known:
        yield Visit(waits, since, due)
        yield Visit(State.QUEUED, due, until)
    else:
        state = State.QUEUED if waits is State.SCHEDULED else waits
        yield Visit(state, since, until, unsure=until - since > _AT_ONCE)
