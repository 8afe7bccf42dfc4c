import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import Discard, Retry, RetryPolicy, Snooze
from service.ledger.models import Failure, Finish, Started
from service.ledger.states import Outcome, State
from service.own_retry import OwnRetry
from service.worker.performing import outcome
from service.worker.performing.finish import finish_of
from service.worker.performing.outcome import AttemptOutcome

AT = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = Started(
    id="j1",
    kind="greet",
    attempt=4,
    failures=1,
    crashes=0,
    max_attempts=3,
    args="{}",
    timeout_s=None,
    queue="default",
    arq_id=None,
    created_at=AT,
    worker="w1",
    started_at=AT,
)


def finish(ended: AttemptOutcome, policy: RetryPolicy | None = None, **started: Any) -> Finish:
    return finish_of(STARTED._replace(**started), ended, policy or RetryPolicy(base=8, cap=8), AT)


def after_error(error: BaseException, policy: RetryPolicy | None = None, **started: Any) -> Finish:
    return finish(outcome.of_error(error), policy, **started)


def test_a_result_ends_the_job() -> None:
    done = finish(AttemptOutcome(Outcome.SUCCEEDED, result='"hi"'))
    assert (done.id, done.kind, done.attempt, done.worker, done.at) == ("j1", "greet", 4, "w1", AT)
    assert (done.outcome, done.state, done.result, done.failures) == (Outcome.SUCCEEDED, State.SUCCEEDED, '"hi"', 0)
    assert (done.run_at, done.failure) == (None, None)


def test_an_error_costs_a_failure_and_is_tried_again_within_the_policys_bound() -> None:
    for _ in range(50):
        failed = after_error(ValueError("no"))
        assert (failed.outcome, failed.state, failed.failures) == (Outcome.FAILED, State.RETRYING, 1)
        assert failed.run_at is not None
        assert AT <= failed.run_at <= AT + timedelta(seconds=8)


def test_the_bound_grows_with_the_failures_before() -> None:
    waits = [after_error(ValueError(), RetryPolicy(base=1), failures=9, max_attempts=99).run_at for _ in range(100)]
    assert max(wait for wait in waits if wait) > AT + timedelta(seconds=100)


def test_the_last_failure_ends_the_job() -> None:
    failed = after_error(ValueError("no"), failures=2)
    assert (failed.state, failed.failures, failed.run_at) == (State.FAILED, 1, None)


def test_attempts_that_cost_nothing_are_not_counted_as_failures() -> None:
    assert after_error(ValueError("no"), failures=0, attempt=99).state is State.RETRYING


def test_retry_waits_for_as_long_as_the_kind_says() -> None:
    failed = after_error(Retry("busy", after=90))
    assert (failed.outcome, failed.state, failed.failures) == (Outcome.FAILED, State.RETRYING, 1)
    assert failed.run_at == AT + timedelta(seconds=90)
    assert failed.failure is not None
    assert (failed.failure.type, failed.failure.message) == ("Retry", "busy")


def test_retry_at_once_is_at_once_and_not_by_the_policy() -> None:
    assert after_error(Retry(after=0), RetryPolicy(base=3600)).run_at == AT


def test_retry_without_a_wait_has_the_policys() -> None:
    policy = RetryPolicy(base=8, cap=8, never=(Exception,))
    failed = after_error(Retry("busy"), policy)
    assert failed.state is State.RETRYING
    assert failed.run_at is not None
    assert failed.run_at <= AT + timedelta(seconds=8)


def test_retry_too_is_bounded_by_max_attempts() -> None:
    assert after_error(Retry(after=1), failures=2).state is State.FAILED


def test_snooze_costs_nothing_even_at_the_last_attempt() -> None:
    snoozed = after_error(Snooze(after=timedelta(minutes=5)), failures=2)
    assert (snoozed.outcome, snoozed.state, snoozed.failures) == (Outcome.SNOOZED, State.RETRYING, 0)
    assert snoozed.run_at == AT + timedelta(minutes=5)
    assert snoozed.failure is None


def test_discard_ends_the_job_whatever_attempts_are_left() -> None:
    discarded = after_error(Discard("gone"), failures=0)
    assert (discarded.outcome, discarded.state, discarded.failures) == (Outcome.DISCARDED, State.FAILED, 0)
    assert discarded.failure is not None
    assert (discarded.failure.type, discarded.failure.message) == ("Discard", "gone")


def test_an_error_that_the_policy_never_tries_again_ends_the_job() -> None:
    failed = after_error(KeyError("x"), RetryPolicy(never=(LookupError,)), failures=0)
    assert (failed.outcome, failed.state) == (Outcome.FAILED, State.FAILED)


def test_an_error_with_a_policy_of_its_own_waits_by_that() -> None:
    policy = RetryPolicy(base=3600, by_exception={OSError: RetryPolicy(base=0)})
    assert after_error(ConnectionError(), policy).run_at == AT


def test_a_timeout_is_a_failure_that_says_how_long_it_was() -> None:
    timed_out = finish(outcome.of_timeout(timedelta(seconds=1.5)))
    assert (timed_out.outcome, timed_out.state, timed_out.failures) == (Outcome.TIMED_OUT, State.RETRYING, 1)
    assert timed_out.failure == Failure("TimedOut", "The attempt took longer than its timeout of 1.5 s.")
    assert finish(outcome.of_timeout(timedelta(1)), RetryPolicy(never=(TimeoutError,))).state is State.FAILED


@pytest.mark.parametrize(
    ("stopped_as", "state"), [(Outcome.CANCELLED, State.CANCELLED), (Outcome.INTERRUPTED, State.QUEUED)]
)
def test_being_stopped_costs_nothing(stopped_as: Outcome, state: State) -> None:
    stopped = finish(outcome.of_stop(stopped_as), failures=2)
    assert (stopped.outcome, stopped.state, stopped.failures, stopped.run_at) == (stopped_as, state, 0, None)
    assert stopped.failure is not None
    assert stopped.failure.type == stopped_as.capitalize()


def test_a_kind_that_cancels_itself_has_failed() -> None:
    failed = after_error(asyncio.CancelledError())
    assert (failed.outcome, failed.failures) == (Outcome.FAILED, 1)
    assert failed.failure is not None
    assert "nobody had cancelled it" in failed.failure.message


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("of a TaskGroup", [BaseExceptionGroup("inner", errors), *errors])


def test_one_discard_in_a_group_ends_the_job() -> None:
    discarded = after_error(group(Retry(after=1), Discard("gone"), Snooze(after=1), ValueError()), failures=0)
    assert (discarded.outcome, discarded.state) == (Outcome.DISCARDED, State.FAILED)
    assert discarded.failure is not None
    assert (discarded.failure.type, discarded.failure.message) == ("Discard", "gone")


def test_one_error_in_a_group_that_is_never_tried_again_ends_the_job() -> None:
    policy = RetryPolicy(never=(LookupError,))
    failed = after_error(group(Retry(after=1), KeyError("x"), ValueError()), policy, failures=0)
    assert (failed.outcome, failed.state) == (Outcome.FAILED, State.FAILED)


def test_a_group_of_snoozes_is_put_off_for_the_longest() -> None:
    snoozed = after_error(group(Snooze(after=5), Snooze(after=60)), failures=2)
    assert (snoozed.outcome, snoozed.failures, snoozed.run_at) == (Outcome.SNOOZED, 0, AT + timedelta(seconds=60))


def test_a_group_of_a_snooze_and_an_error_has_failed() -> None:
    failed = after_error(group(Snooze(after=60), ValueError()))
    assert (failed.outcome, failed.failures, failed.run_at) == (Outcome.FAILED, 1, AT + timedelta(seconds=60))


@pytest.mark.parametrize(("after", "expected"), [(1, 100), (7200, 7200)])
def test_retry_with_or_later_waits_no_shorter_than_the_policy(after: float, expected: float) -> None:
    policy = RetryPolicy(delays=(100,))
    run_at = after_error(Retry("busy", after=after, or_later=True), policy, failures=0, max_attempts=9).run_at
    assert run_at is not None
    assert 0.8 * expected <= (run_at - AT).total_seconds() <= 1.2 * expected


def test_absurd_wait_with_or_later_is_one_that_a_calendar_has() -> None:
    asked = Retry("busy", after=timedelta.max, or_later=True)
    assert after_error(asked, RetryPolicy(base=1), failures=0, max_attempts=9).run_at == AT + timedelta(days=3650)


def test_a_group_waits_for_the_longest_that_a_retry_asks_for() -> None:
    failed = after_error(group(Retry(after=5), ValueError(), Retry(after=90)), RetryPolicy(base=3600))
    assert (failed.outcome, failed.run_at) == (Outcome.FAILED, AT + timedelta(seconds=90))


def test_a_group_has_the_policy_of_its_errors() -> None:
    policy = RetryPolicy(base=3600, by_exception={OSError: RetryPolicy(base=0)})
    assert after_error(group(ConnectionError(), TimeoutError()), policy).run_at == AT


def test_exits_in_a_group_are_a_failure() -> None:
    assert after_error(group(SystemExit(3), asyncio.CancelledError())).outcome is Outcome.FAILED


class _Odd(type):
    def __hash__(cls) -> int:
        raise RuntimeError

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError


class _Unhashable(Exception, metaclass=_Odd):
    pass


def test_an_error_whose_class_cannot_be_compared_has_its_policy() -> None:
    policy = RetryPolicy(never=(KeyError,), by_exception={OSError: RetryPolicy(base=0)})
    assert after_error(_Unhashable(), policy).state is State.RETRYING


class _BrokenPolicy(RetryPolicy):
    def for_error(self, error: BaseException) -> RetryPolicy | None:
        raise SystemExit


def test_a_policy_that_fails_is_replaced_by_the_default() -> None:
    assert after_error(ValueError(), _BrokenPolicy()).state is State.RETRYING


class _RetryWithoutWait(Retry):
    def __init__(self) -> None:
        pass  # and so it has no `after`


class _SnoozeWithoutWait(Snooze):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("error", [_RetryWithoutWait(), _SnoozeWithoutWait(), group(_SnoozeWithoutWait())])
def test_a_wait_that_cannot_be_read_is_a_plain_failure(error: BaseException) -> None:
    failed = after_error(error)
    assert (failed.outcome, failed.state, failed.failures) == (Outcome.FAILED, State.RETRYING, 1)


def test_a_timeout_that_the_blocked_loop_held_up_says_so() -> None:
    failure = finish(outcome.of_timeout(timedelta(seconds=1), outcome.Blocked(12.3, by_itself=True))).failure
    assert failure is not None
    assert "It went on for 12.3 s, because it blocked the event loop" in failure.message


OWN = OwnRetry(delays=(100.0, 1000.0))


def test_a_jobs_own_waits_count_in_the_place_of_its_kinds() -> None:
    for _ in range(20):
        failed = after_error(ValueError(), RetryPolicy(base=1, cap=1), retry=OWN, failures=0)
        assert failed.run_at is not None
        assert timedelta(seconds=80) <= failed.run_at - AT <= timedelta(seconds=120)
        later = after_error(ValueError(), RetryPolicy(by_exception={ValueError: RetryPolicy(base=1)}), retry=OWN)
        assert later.run_at is not None
        assert timedelta(seconds=800) <= later.run_at - AT <= timedelta(seconds=1200)
        waits = after_error(
            ValueError(), RetryPolicy(base=900), retry=OwnRetry(base=1, cap=2), failures=9, max_attempts=99
        )
        assert waits.run_at is not None
        assert waits.run_at - AT <= timedelta(seconds=2)


def test_the_kind_still_says_whether_a_job_is_tried_again() -> None:
    assert after_error(KeyError(), RetryPolicy(never=(KeyError,)), retry=OWN).state is State.FAILED
    assert after_error(KeyError(), RetryPolicy(never=(ValueError,)), retry=OWN).state is State.RETRYING


def test_a_job_whose_policy_names_no_waits_has_its_kinds() -> None:
    failed = after_error(ValueError(), RetryPolicy(delays=(50,)), retry=OwnRetry(max_duration=900))
    assert failed.run_at is not None
    assert timedelta(seconds=40) <= failed.run_at - AT <= timedelta(seconds=60)


def test_a_retry_that_would_begin_after_the_jobs_time_is_none() -> None:
    policy, until = RetryPolicy(delays=(50,)), AT + timedelta(seconds=61)
    assert (
        after_error(ValueError(), policy, retry=OWN, retry_until=AT + timedelta(seconds=2000)).state is State.RETRYING
    )
    assert after_error(ValueError(), policy, retry_until=until).state is State.RETRYING
    assert after_error(ValueError(), policy, retry_until=AT + timedelta(seconds=39)).state is State.FAILED
    assert after_error(Retry("later", after=70), policy, retry_until=until).state is State.FAILED
    assert finish(outcome.of_timeout(timedelta(seconds=1)), policy, retry_until=AT).state is State.FAILED


def test_what_costs_no_failure_goes_on_beyond_the_jobs_time() -> None:
    assert after_error(Snooze(after=70), retry_until=AT).state is State.RETRYING
    assert finish(outcome.of_stop(Outcome.INTERRUPTED), retry_until=AT).state is State.QUEUED
