from itertools import pairwise

import pytest

from service.histogram import BOUNDS, SIZE, added, no_longer_than, place_of, quantile


def counted(*seconds: float) -> list[int]:
    counts = [0] * SIZE
    for one in seconds:
        counts[place_of(one)] += 1
    return counts


def test_bounds_lie_so_close_that_a_quantile_says_something() -> None:
    assert all(1 < later / earlier <= 2.01 for earlier, later in pairwise(BOUNDS))
    assert BOUNDS[0] < 0.001
    assert BOUNDS[-1] > 24 * 3600


@pytest.mark.parametrize("seconds", [0.0021, 0.212, 3.8, 61.0, 7_000.0])
def test_a_quantile_of_equal_durations_is_near_them(seconds: float) -> None:
    assert quantile(counted(*[seconds] * 100), 0.5) == pytest.approx(seconds, rel=0.35)


def test_quantiles_tell_the_few_from_the_many() -> None:
    counts = counted(*[0.004] * 98, 5.0, 5.0)
    p50, p99 = quantile(counts, 0.5), quantile(counts, 0.99)
    assert p50 is not None
    assert p99 is not None
    assert p50 < 0.005 < 3.0 < p99 < 7.0


def test_nothing_has_no_quantile_and_what_took_longest_has_the_last_bound() -> None:
    assert quantile([0] * SIZE, 0.5) is None
    assert quantile(counted(1e9), 0.99) == BOUNDS[-1]


def test_histograms_add_up() -> None:
    both = added(counted(0.001, 2.0), counted(0.0005))
    assert (sum(both), no_longer_than(both, 0.001), no_longer_than(both, 1.0)) == (3, 2, 2)
