"""The words behind figures: units, thousands, and never more precision than is known."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from service.api.flow_requests import job_ids
from service.dashboard.text import (
    age_text,
    ago,
    bytes_text,
    count_text,
    counted,
    exact,
    rate_text,
    rough_text,
    share_text,
    short_id,
    span_text,
    until,
)
from service.lifecycle.new_job import new_id

UNKNOWN = "\N{EN DASH}"
NOW = datetime(2026, 11, 25, 1, 14, 2, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, UNKNOWN),
        (-3, "0 s"),
        (0, "0 s"),
        (0.0004, "1 ms"),
        (0.042, "42 ms"),
        (0.6, "0.6 s"),
        (8.96, "9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (76, "1 min 16 s"),
        (3_599.7, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "1 day"),
        (93_600, "1 day 2 h"),
        (6 * 86_400, "6 days"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float | None, words: str) -> None:
    assert span_text(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(9.9, "9 s"), (119, "1 min"), (3_599, "59 min"), (90_000, "1 day"), (200_000, "2 days")]
)
def test_a_rough_span_never_says_more_than_has_passed(seconds: float, words: str) -> None:
    assert rough_text(seconds) == words


def test_an_age_is_exact_where_it_is_short() -> None:
    assert [age_text(one) for one in (None, 0.6, 59, 583)] == [UNKNOWN, "0.6 s", "59 s", "9 min"]


def test_moments_are_told_from_now() -> None:
    assert ago(NOW, NOW - timedelta(seconds=0.4)) == "just now"
    assert ago(NOW, NOW - timedelta(minutes=9, seconds=59)) == "9 min ago"
    assert ago(NOW, NOW + timedelta(seconds=5)) == "just now", "a clock that is ahead"
    assert until(NOW, NOW - timedelta(seconds=5)) == "now"
    assert until(NOW, NOW + timedelta(seconds=76.9)) == "in 1 min 16 s"
    assert until(NOW, NOW + timedelta(minutes=18, seconds=30)) == "in 18 min"
    assert exact(NOW) == "Wed 25 Nov 2026, 01:14:02.500 UTC"


def test_counts_have_thousands_and_estimates_say_that_they_are() -> None:
    assert [count_text(one) for one in (None, 0, 4_861)] == [UNKNOWN, "0", "4,861"]
    assert count_text(4_861, about=True) == "about 4,900"
    assert count_text(7, about=True) == "about 7"
    assert [counted(one, "job") for one in (0, 1, 2_000)] == ["0 jobs", "1 job", "2,000 jobs"]
    assert counted(2, "worker is", "workers are") == "2 workers are"


def test_rates_shares_and_sizes() -> None:
    assert [rate_text(one) for one in (None, 0, 0.04, 8.62, 1_234.5)] == [UNKNOWN, "0.0", "0.04", "8.6", "1,234"]
    assert [share_text(*one) for one in ((31, 200), (0, 0))] == ["16 %", UNKNOWN]
    sizes = (None, 0, 999, 1_000, 9_940, 94_000_000, 999_600_000, 5 * 10**15)
    assert [bytes_text(one) for one in sizes] == [
        UNKNOWN,
        "0 B",
        "999 B",
        "1.0 kB",
        "9.9 kB",
        "94 MB",
        "1.0 GB",
        "5,000 TB",
    ]


def test_short_ids_differ_within_a_flow_and_among_jobs_of_one_moment() -> None:
    of_a_flow = list(islice(job_ids(new_id()), 5_000))
    at_once = [new_id() for _ in range(1_000)]
    assert len({short_id(one) for one in of_a_flow}) == len(of_a_flow)
    assert len({short_id(one) for one in at_once}) == len(at_once)
    assert [short_id("order-7"), short_id("x" * 50)] == ["order-7", "x" * 12]
