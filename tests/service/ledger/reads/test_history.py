"""A job's changes, derived from its row and attempts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.ledger.reads.history import changes
from service.ledger.states import Outcome, State

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def row(state: State, attempt: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "state": state,
        "attempt": attempt,
        "max_attempts": 2,
        "created_at": T0,
        "run_at": T0,
        "started_at": None,
        "finished_at": None,
        "error_type": None,
        "error_message": None,
    } | fields


def attempt(number: int, outcome: Outcome | None, began: float, ended: float | None = None) -> dict[str, Any]:
    return {
        "number": number,
        "outcome": outcome,
        "started_at": at(began),
        "finished_at": None if ended is None else at(ended),
        "error_type": None,
        "error_message": None,
    }


def told(job: dict[str, Any], *attempts: dict[str, Any]) -> list[str]:
    """Return the reported states; positions must grow, or a reader would miss one of them."""
    found = changes(job, attempts, max_crashes=3)
    positions = [change.position for change in found]
    assert positions == sorted(set(positions))
    return [str(change.state) for change in found]


def position(job: dict[str, Any], *attempts: dict[str, Any]) -> tuple[int, int, int]:
    return changes(job, attempts, max_crashes=3)[-1].position


def test_a_job_that_runs_at_once() -> None:
    assert told(row(State.QUEUED)) == ["queued"]
    assert told(row(State.RUNNING, 1, started_at=at(1)), attempt(1, None, 1)) == ["running"]
    ended = row(State.SUCCEEDED, 1, started_at=at(1), finished_at=at(2))
    assert told(ended, attempt(1, Outcome.SUCCEEDED, 1, 2)) == ["running", "succeeded"]


def test_attempts_that_have_gone_on_since_their_row_was_read_tell_nothing_beyond_it() -> None:
    running = row(State.RUNNING, 1, started_at=at(1))
    waits = row(State.RETRYING, 1, started_at=at(1), run_at=at(9))
    failed, succeeded = attempt(1, Outcome.FAILED, 1, 2), attempt(2, Outcome.SUCCEEDED, 9, 10)
    assert told(row(State.QUEUED), attempt(1, None, 1)) == ["queued"]
    assert told(running, attempt(1, Outcome.SUCCEEDED, 1, 2)) == ["running"]
    assert told(running, failed, succeeded) == ["running"]
    assert told(waits, failed, succeeded) == ["running", "retrying"]


def test_a_failure_a_retry_and_another_failure() -> None:
    first = attempt(1, Outcome.FAILED, 1, 2)
    waits = row(State.RETRYING, 1, started_at=at(1), run_at=at(9))
    due = row(State.QUEUED, 1, started_at=at(1), run_at=at(9))
    assert told(waits, first) == ["running", "retrying"]
    assert told(due, first) == ["running", "retrying", "queued"]
    failed = row(State.FAILED, 2, started_at=at(10), finished_at=at(11), run_at=at(9))
    assert told(failed, first, attempt(2, Outcome.FAILED, 10, 11)) == ["running", "retrying", "running", "failed"]


def test_an_interrupted_and_a_crashed_attempt_go_back_to_the_queue() -> None:
    ended = [attempt(1, Outcome.INTERRUPTED, 1, 2), attempt(2, Outcome.CRASHED, 3, 4)]
    assert told(row(State.QUEUED, 2, started_at=at(3)), *ended) == ["running", "queued", "running", "queued"]


def test_the_last_crash_that_is_allowed_fails_the_job() -> None:
    crashes = [attempt(number, Outcome.CRASHED, number, number + 0.5) for number in (1, 2, 3)]
    failed = row(State.FAILED, 3, started_at=at(3), finished_at=at(3.5))
    assert told(failed, *crashes) == ["running", "queued", "running", "queued", "running", "failed"]


def test_each_replay_and_each_cancellation_is_a_place_further_on() -> None:
    lives = [
        row(State.SCHEDULED, run_at=at(60)),
        row(State.CANCELLED, run_at=at(60), finished_at=at(5)),
        row(State.QUEUED, run_at=at(6)),
        row(State.CANCELLED, run_at=at(6), finished_at=at(7)),
        row(State.QUEUED, run_at=at(8)),
        row(State.RUNNING, 1, run_at=at(8), started_at=at(9)),
    ]
    positions = [position(job) for job in lives]
    assert positions == sorted(set(positions))


def test_a_replay_shows_in_the_history_even_after_another_attempt() -> None:
    failed = attempt(1, Outcome.DISCARDED, 1, 2)
    before = position(row(State.FAILED, 1, started_at=at(1), finished_at=at(2)), failed)
    replayed = row(State.QUEUED, 1, run_at=at(5))
    assert told(replayed, failed) == ["running", "failed", "queued"]
    assert position(replayed, failed) > before
    crashed = [attempt(number, Outcome.CRASHED, number, number + 0.5) for number in (1, 2, 3)]
    assert told(row(State.QUEUED, 3, run_at=at(9)), *crashed)[-2:] == ["failed", "queued"]
    again = row(State.RUNNING, 2, run_at=at(5), started_at=at(6))
    assert told(again, failed, attempt(2, None, 6)) == ["running", "failed", "running"]


def test_a_job_that_expires_while_it_waits_for_its_retry() -> None:
    expired = row(State.FAILED, 1, started_at=at(1), finished_at=at(9), error_type="Expired", error_message="late")
    last = changes(expired, [attempt(1, Outcome.FAILED, 1, 2)], max_crashes=3)[-1]
    assert (last.state, last.error_type, last.outcome) == (State.FAILED, "Expired", None)
