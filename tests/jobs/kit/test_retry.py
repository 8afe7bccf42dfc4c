from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from jobs import Context, RetryPolicy, job


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
    wait = RetryPolicy(base=min(base, cap), cap=cap).longest_wait(failures)
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


def test_delays_are_the_waits_one_by_one_and_the_last_one_again_and_again() -> None:
    policy = RetryPolicy(delays=[5, timedelta(minutes=5), 1800])
    assert [policy.longest_wait(n).total_seconds() for n in range(5)] == [6, 360, 2160, 2160, 2160]
    assert [policy.shortest_wait(n).total_seconds() for n in range(5)] == [4, 240, 1440, 1440, 1440]


def test_kind_with_delays_has_an_attempt_more_than_there_are_delays() -> None:
    class Args(BaseModel): ...

    async def perform(ctx: Context, args: Args) -> None: ...

    assert job("a", retry=RetryPolicy(delays=(1, 2, 3)))(perform).max_attempts == 4
    assert job("b", retry=RetryPolicy(delays=(1, 2, 3)), max_attempts=2)(perform).max_attempts == 2
    assert job("c")(perform).max_attempts == 5


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf"), 10**12, timedelta(days=-1), "5", None, True])
def test_wait_that_no_calendar_has_is_refused_where_it_is_written(wait: Any) -> None:
    for fields in ({"base": wait}, {"cap": wait}, {"delays": [5, wait]}):
        with pytest.raises(ValueError, match="RetryPolicy: a wait is"):
            RetryPolicy(**fields)


@pytest.mark.parametrize("fields", [{"base": 5}, {"cap": 60}])
def test_delays_beside_base_or_cap_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leave out base and cap"):
        RetryPolicy(delays=(1, 2), **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base": 90, "cap": 30}, "base is above cap"),
        ({"never": ValueError}, "never is a tuple of exceptions"),
        ({"never": ("ValueError",)}, "never is a tuple of exceptions"),
        ({"by_exception": {"OSError": RetryPolicy()}}, "by_exception maps exceptions to policies"),
        ({"by_exception": {OSError: 3}}, "are RetryPolicy, too"),
    ],
)
def test_policy_that_makes_no_sense_is_refused_where_it_is_written(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RetryPolicy(**fields)
