from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import RetryPolicy


class Flaky(ConnectionError): ...


def test_the_bound_doubles_with_each_failure_up_to_the_cap() -> None:
    policy = RetryPolicy(base=2, cap=10)
    assert [policy.longest_wait(n).total_seconds() for n in range(5)] == [2, 4, 8, 10, 10]


def test_by_default_it_is_two_seconds_to_one_hour() -> None:
    policy = RetryPolicy()
    assert policy.longest_wait(0) == timedelta(seconds=2)
    assert policy.longest_wait(11) == timedelta(hours=1)


@given(failures=st.integers(0, 10**9), base=st.floats(0.001, 10**6), cap=st.floats(0.001, 10**6))
def test_the_bound_is_never_past_the_cap_however_many_failures(failures: int, base: float, cap: float) -> None:
    wait = RetryPolicy(base=base, cap=cap).longest_wait(failures)
    assert timedelta(0) <= wait <= timedelta(seconds=cap)


def test_durations_may_be_timedeltas() -> None:
    policy = RetryPolicy(base=timedelta(minutes=1), cap=timedelta(minutes=3))
    assert [policy.longest_wait(n) for n in range(3)] == [timedelta(minutes=n) for n in (1, 2, 3)]


@pytest.mark.parametrize("error", [ValueError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_an_error_that_never_helps_is_not_tried_again_nor_are_its_subclasses(error: Exception) -> None:
    assert RetryPolicy(never=(ValueError,)).for_error(error) is None


def test_an_error_without_a_policy_of_its_own_has_the_kinds() -> None:
    policy = RetryPolicy(never=(ValueError,), by_exception={OSError: RetryPolicy(base=9)})
    assert policy.for_error(KeyError("x")) is policy


def test_the_most_specific_class_counts() -> None:
    slow, fast = RetryPolicy(base=60), RetryPolicy(base=1)
    policy = RetryPolicy(never=(OSError,), by_exception={ConnectionError: slow, Flaky: fast})
    assert policy.for_error(Flaky()) is fast
    assert policy.for_error(ConnectionResetError()) is slow
    assert policy.for_error(FileNotFoundError()) is None
