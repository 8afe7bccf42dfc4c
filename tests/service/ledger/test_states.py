import pytest

from service import tables
from service.ledger.states import (
    IN_TURN,
    LIVE,
    MAX_LOST,
    PROMOTABLE,
    REPLAYABLE,
    TERMINAL,
    UNSTARTED,
    WAITING,
    WORKER_LOST,
    Counts,
    Loss,
    Outcome,
    RunWhen,
    State,
    edge_state,
    isolated_from,
    loss_of,
    state_after,
    state_after_crash,
    state_after_isolated_loss,
)


def test_every_state_is_waiting_running_or_terminal() -> None:
    assert {*UNSTARTED, State.RUNNING, *TERMINAL} == set(State)
    assert not set(LIVE) & set(TERMINAL)
    assert set(REPLAYABLE) < set(TERMINAL)
    assert set(PROMOTABLE) < set(WAITING)


@pytest.mark.parametrize(
    ("literal", "states"),
    [
        (tables.WAITING_SQL, WAITING),
        (tables.LIVE_SQL, LIVE),
        (tables.TERMINAL_SQL, TERMINAL),
        (tables.RUNNING_SQL, (State.RUNNING,)),
        (tables.EXPIRING_SQL, UNSTARTED),
        (tables.LIVE_IN_LANE_SQL, IN_TURN),
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


@pytest.mark.parametrize("max_crashes", [1, 2, 3, 10])
def test_the_last_crash_that_a_job_may_have_is_an_isolated_one(max_crashes: int) -> None:
    ends = [state_after_crash(crashes, max_crashes) for crashes in range(1, max_crashes + 1)]
    assert ends == [State.QUEUED] * (max_crashes - 1) + [State.FAILED]
    assert isolated_from(max_crashes) == max(1, max_crashes - 1)


def test_an_isolated_job_ends_when_it_was_lost_too_often() -> None:
    ends = [state_after_isolated_loss(losses) for losses in range(1, MAX_LOST + 1)]
    assert ends == [State.QUEUED] * (MAX_LOST - 1) + [State.FAILED]


@pytest.mark.parametrize(
    ("in_order", "prefetched", "crashes", "loss"),
    [
        (True, True, 2, Loss.HANDED_BACK),
        (False, True, 2, Loss.WAITED),
        (False, False, 2, Loss.ISOLATED),
        (False, False, 1, Loss.CRASHED),
    ],
)
def test_an_attempt_has_crashed_only_where_it_ran_in_the_process_that_died(
    in_order: bool, prefetched: bool, crashes: int, loss: Loss
) -> None:
    assert loss_of(in_order=in_order, prefetched=prefetched, crashes=crashes, max_crashes=3) is loss


def test_an_attempt_of_a_kind_in_processes_has_not_crashed_with_its_worker() -> None:
    loss = loss_of(in_order=False, prefetched=False, crashes=0, max_crashes=3, in_process=True)
    assert loss is Loss.ISOLATED


def states_after(*ended: tuple[Outcome, str | None]) -> list[State]:
    counts = Counts()
    return [counts.end(outcome, error_type, max_attempts=2, max_crashes=2) for outcome, error_type in ended]


def test_failures_and_crashes_are_counted_apart_and_anew_after_the_end() -> None:
    failed, crashed, lost = (Outcome.FAILED, "E"), (Outcome.CRASHED, "Crashed"), (Outcome.INTERRUPTED, WORKER_LOST)
    stopped = (Outcome.INTERRUPTED, "Interrupted")
    assert states_after(failed, crashed, failed) == [State.RETRYING, State.QUEUED, State.FAILED]
    assert states_after(crashed, stopped, crashed) == [State.QUEUED, State.QUEUED, State.FAILED]
    assert states_after(failed, failed, failed) == [State.RETRYING, State.FAILED, State.RETRYING]
    assert states_after(*[lost] * MAX_LOST)[-2:] == [State.QUEUED, State.FAILED]
    assert states_after(*[lost] * (MAX_LOST - 1), crashed, lost)[-2:] == [State.QUEUED, State.QUEUED]


@pytest.mark.parametrize(
    ("parent", "attempted", "decided"),
    [
        (State.BLOCKED, False, ("open", "open", "open")),
        (State.RUNNING, False, ("open", "open", "open")),
        (State.RUNNING, True, ("open", "open", "met")),
        (State.RETRYING, True, ("open", "open", "met")),
        (State.SUCCEEDED, True, ("met", "met", "met")),
        (State.FAILED, False, ("broken", "met", "met")),
        (State.CANCELLED, False, ("broken", "met", "met")),
    ],
)
def test_an_edge_says_what_its_parent_is(parent: State, attempted: bool, decided: tuple[str, str, str]) -> None:
    whens: tuple[RunWhen, ...] = ("succeeded", "ended", "attempted")
    assert tuple(edge_state(parent, has_attempted=attempted, run_when=when) for when in whens) == decided
