"""A job's states are derived from its row and its attempts; nothing is invented."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.dashboard.job.timeline import Timeline, Visit, timeline
from service.ledger.states import State

T0 = datetime(2026, 11, 25, 2, 9, 31, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def job(state: State, *, due: float = 0, ended: float | None = None, **fields: Any) -> dict[str, Any]:
    finished_at = None if ended is None else at(ended)
    plain = {"created_at": T0, "max_attempts": 5, "blocked_by": None}
    return {"state": str(state), "run_at": at(due), "finished_at": finished_at, **plain, **fields}


def attempt(
    number: int, began: float, ended: float | None, outcome: str | None = "failed", error: str | None = None
) -> dict[str, Any]:
    finished_at = None if ended is None else at(ended)
    times = {"started_at": at(began), "finished_at": finished_at}
    return {"number": number, "outcome": outcome, "error_type": error, **times}


def told(row: dict[str, Any], *attempts: dict[str, Any], now: float = 1_000) -> Timeline:
    return timeline(row, attempts, at(now), max_crashes=3)


def brief(visits: Sequence[Visit]) -> list[tuple[str, float, float | None]]:
    def since_start(moment: datetime) -> float:
        return (moment - T0).total_seconds()

    return [
        (one.state.value, since_start(one.since), None if one.until is None else since_start(one.until))
        for one in visits
    ]


def test_a_job_that_failed_for_good_waited_between_its_attempts() -> None:
    way = told(
        job(State.FAILED, due=10, ended=42, max_attempts=2),
        attempt(1, 1, 3),
        attempt(2, 10.2, 42, "timed_out"),
    )
    assert brief(way.visits) == [
        ("queued", 0, 1),
        ("running", 1, 3),
        ("retrying", 3, 10.2),
        ("running", 10.2, 42),
        ("failed", 42, None),
    ]
    assert way.ended_at == at(42)
    assert way.totals[State.RUNNING] == (2, timedelta(seconds=33.8))
    assert way.totals[State.FAILED] == (1, timedelta(0))
    assert way.moves[State.RUNNING, State.RETRYING] == way.moves[State.RETRYING, State.RUNNING] == 1
    shares = dict(way.shares)
    assert sum(shares.values()) == 1
    assert round(shares[State.RETRYING], 2) == 0.17


def test_a_job_without_attempts_is_where_it_is() -> None:
    assert brief(told(job(State.QUEUED)).visits) == [("queued", 0, None)]
    assert brief(told(job(State.SCHEDULED, due=5_000)).visits) == [("scheduled", 0, None)]
    assert brief(told(job(State.QUEUED, due=30)).visits) == [("scheduled", 0, 30), ("queued", 30, None)]
    assert brief(told(job(State.BLOCKED, blocked_by=2)).visits) == [("blocked", 0, None)]
    assert brief(told(job(State.QUEUED, due=30, blocked_by=0)).visits) == [("blocked", 0, 30), ("queued", 30, None)]
    cancelled = told(job(State.CANCELLED, due=60, ended=20))
    assert [one.state for one in cancelled.visits] == [State.QUEUED, State.CANCELLED]


def test_a_wait_whose_time_is_not_kept_any_more_says_so() -> None:
    """`run_at` is that of the retry: whether the job was scheduled before its first attempt is not known."""
    way = told(job(State.RETRYING, due=5_000), attempt(1, 600, 601))
    assert brief(way.visits) == [("queued", 0, 600), ("running", 600, 601), ("retrying", 601, None)]
    assert [one.unsure for one in way.visits] == [True, False, False]


def test_a_retry_that_came_due_and_was_not_taken_is_queued() -> None:
    waits = told(job(State.QUEUED, due=30), attempt(1, 1, 2))
    assert brief(waits.visits)[-2:] == [("retrying", 2, 30), ("queued", 30, None)]
    late = told(job(State.RUNNING, due=30), attempt(1, 1, 2), attempt(2, 90, None, None))
    assert brief(late.visits)[-3:] == [("retrying", 2, 30), ("queued", 30, 90), ("running", 90, None)]
    at_once = told(job(State.RUNNING, due=30), attempt(1, 1, 2), attempt(2, 30.2, None, None))
    assert brief(at_once.visits)[-2:] == [("retrying", 2, 30.2), ("running", 30.2, None)]


def test_a_crash_and_an_interruption_queue_the_job_again_at_once() -> None:
    way = told(
        job(State.SUCCEEDED, ended=9),
        attempt(1, 1, 2, "crashed"),
        attempt(2, 4, 5, "interrupted"),
        attempt(3, 8, 9, "succeeded"),
    )
    assert [one.state for one in way.visits] == ["queued", "running"] * 3 + ["succeeded"]
    assert way.moves[State.RUNNING, State.QUEUED] == 2


def test_a_replay_ends_the_end() -> None:
    row = job(State.SUCCEEDED, due=100, ended=102, max_attempts=1)
    way = told(row, attempt(1, 1, 2), attempt(2, 101, 102, "succeeded"))
    assert brief(way.visits)[2:] == [
        ("failed", 2, 100),
        ("queued", 100, 101),
        ("running", 101, 102),
        ("succeeded", 102, None),
    ]
    replayed = told(job(State.QUEUED, due=100, max_attempts=1), attempt(1, 1, 2))
    assert brief(replayed.visits)[2:] == [("failed", 2, 100), ("queued", 100, None)]
    again = told(job(State.CANCELLED, due=100, ended=110, max_attempts=1), attempt(1, 1, 2))
    assert brief(again.visits)[2:] == [("failed", 2, 100), ("queued", 100, 110), ("cancelled", 110, None)]


def test_of_a_job_with_many_attempts_the_latest_are_told() -> None:
    attempts = [attempt(number, number * 10, number * 10 + 1, "snoozed") for number in range(501, 801)]
    way = told(job(State.RETRYING, due=9_000), *attempts, now=8_500)
    assert way.left_out == 500
    assert brief(way.visits)[0] == ("running", 5010, 5011)
    assert way.totals[State.RUNNING] == (300, timedelta(seconds=300))
    assert way.here.state is State.RETRYING
