"""How many calls a principal may make."""

import pytest

from service.access.errors import RateLimited
from service.access.rates import Rates


def test_a_bucket_begins_full_and_is_refilled_evenly() -> None:
    now = 0.0
    rates = Rates("60/min", clock=lambda: now)
    assert rates.policy == '"default";q=60;w=60'
    told = [rates.take("a") for _ in range(60)]
    assert (told[0], told[-1]) == ('"default";r=59;t=1', '"default";r=0;t=60')
    with pytest.raises(RateLimited) as refused:
        rates.take("a")
    assert refused.value.retry_after_s == 1
    assert rates.take("b") == '"default";r=59;t=1'
    now = 2.0
    assert [rates.take("a"), rates.take("a")] == ['"default";r=1;t=59', '"default";r=0;t=60']
    with pytest.raises(RateLimited):
        rates.take("a")
    now = 1_000.0
    assert rates.take("a") == '"default";r=59;t=1'


def test_a_refused_call_takes_nothing_and_memory_is_bounded() -> None:
    now = 0.0
    rates = Rates("1/h", clock=lambda: now)
    rates.take("a")
    for now in (900.0, 1_800.0, 2_700.0):  # noqa: B007 - the clock reads it
        with pytest.raises(RateLimited) as refused:
            rates.take("a")
    assert refused.value.retry_after_s == 900
    for number in range(10_001):
        rates.take(f"other {number}")
    assert len(rates._buckets) == 10_000
