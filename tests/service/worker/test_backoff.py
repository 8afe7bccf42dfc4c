from datetime import timedelta
from itertools import islice
from statistics import mean

from hypothesis import given
from hypothesis import strategies as st

from jobs import RetryPolicy
from service.worker.backoff import outage_waits, retry_wait


@given(failures=st.integers(0, 200))
def test_the_wait_is_between_nothing_and_the_policys_bound(failures: int) -> None:
    policy = RetryPolicy(base=2, cap=60)
    assert timedelta(0) <= retry_wait(policy, failures) <= policy.longest_wait(failures)


def test_the_wait_is_spread_over_all_of_it() -> None:
    waits = [retry_wait(RetryPolicy(base=100, cap=100), 0).total_seconds() for _ in range(2_000)]
    assert min(waits) < 5
    assert max(waits) > 95
    assert 40 < mean(waits) < 60


def test_delays_are_spread_by_a_fifth_to_both_sides() -> None:
    policy = RetryPolicy(delays=(100, 1000))
    for failures, delay in ((0, 100), (1, 1000), (7, 1000)):
        waits = [retry_wait(policy, failures).total_seconds() for _ in range(1_000)]
        assert 0.8 * delay <= min(waits) < 0.85 * delay
        assert 1.15 * delay < max(waits) <= 1.2 * delay


def test_waits_of_an_outage_double_to_a_cap_and_have_no_end() -> None:
    bounds = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for _ in range(100):
        waits = list(islice(outage_waits(), 500))
        assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=False))
        assert all(2.5 <= wait <= 5 for wait in waits[len(bounds) :])


def test_waits_of_an_outage_differ_between_processes() -> None:
    assert len({tuple(islice(outage_waits(), 3)) for _ in range(20)}) == 20
