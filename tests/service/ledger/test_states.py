import pytest

from service import tables
from service.ledger.states import LIVE, REPLAYABLE, TERMINAL, WAITING, Outcome, State, state_after


def test_every_state_is_waiting_running_or_terminal() -> None:
    assert {*WAITING, State.RUNNING, *TERMINAL} == set(State)
    assert not set(LIVE) & set(TERMINAL)
    assert set(REPLAYABLE) < set(TERMINAL)


@pytest.mark.parametrize(
    ("literal", "states"),
    [
        (tables.WAITING_SQL, WAITING),
        (tables.LIVE_SQL, LIVE),
        (tables.TERMINAL_SQL, TERMINAL),
        (tables.RUNNING_SQL, (State.RUNNING,)),
    ],
)
def test_the_indexes_name_the_same_states(literal: str, states: tuple[State, ...]) -> None:
    assert {state for state in State if f"'{state}'" in literal} == set(states)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.SUCCEEDED, State.SUCCEEDED),
        (Outcome.CANCELLED, State.CANCELLED),
        (Outcome.DISCARDED, State.FAILED),
        (Outcome.SNOOZED, State.RETRYING),
        (Outcome.CRASHED, State.QUEUED),
        (Outcome.INTERRUPTED, State.QUEUED),
    ],
)
@pytest.mark.parametrize("failures", [0, 2, 3, 9])
def test_failures_decide_nothing_when_the_attempt_did_not_fail(outcome: Outcome, state: State, failures: int) -> None:
    assert state_after(outcome, failures=failures, max_attempts=3) is state


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_a_failed_job_goes_on_until_its_attempts_are_used_up(outcome: Outcome) -> None:
    ends = [state_after(outcome, failures=failures, max_attempts=3) for failures in (1, 2, 3, 4)]
    assert ends == [State.RETRYING, State.RETRYING, State.FAILED, State.FAILED]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_a_policy_that_says_never_ends_the_job_at_once(outcome: Outcome) -> None:
    assert state_after(outcome, failures=1, max_attempts=3, may_retry=False) is State.FAILED
