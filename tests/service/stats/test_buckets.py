"""Buckets are those of the zone's clocks: each quarter of an hour is in the hour, day, week and month they show."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

import pytest

from service.stats.buckets import MOST_BUCKETS, QUARTER, Size, TooManyBuckets, bounds, place_of, start_of

# Zones and a year each in which something happens to their clocks: twice at odd hours and by odd steps, at midnight,
# within Ramadan, for good, by half an hour, or over a whole day.
YEARS = [
    ("UTC", 2026),
    ("Europe/Berlin", 2026),
    ("America/New_York", 2026),
    ("America/St_Johns", 2026),
    ("Australia/Lord_Howe", 2026),
    ("Pacific/Chatham", 2026),
    ("Asia/Kathmandu", 2026),
    ("Africa/Casablanca", 2026),
    ("Africa/Cairo", 2026),
    ("America/Havana", 2026),
    ("Asia/Beirut", 2026),
    ("Antarctica/Troll", 2026),
    ("Asia/Almaty", 2024),
    ("Asia/Pyongyang", 2018),
    ("America/Caracas", 2016),
    ("Pacific/Apia", 2011),
]

LABELS: dict[Size, Callable[[datetime], object]] = {
    Size.HOUR: lambda local: (local.date(), local.hour, local.utcoffset()),
    Size.DAY: lambda local: local.date(),
    Size.WEEK: lambda local: local.date() - timedelta(days=local.weekday()),
    Size.MONTH: lambda local: (local.year, local.month),
}


@pytest.mark.parametrize(("name", "year"), YEARS)
def test_a_year_is_cut_as_the_clocks_show_it(name: str, year: int) -> None:
    zone = ZoneInfo(name)
    since, until = (datetime(one, 1, 1, tzinfo=zone).astimezone(UTC) for one in (year, year + 1))
    quarters = [since + number * QUARTER for number in range((until - since) // QUARTER)]
    locals_ = [(at, at.astimezone(zone)) for at in quarters]
    for size, label in LABELS.items():
        expected = [next(group)[0] for _, group in groupby(locals_, lambda one: label(one[1]))]  # noqa: B023
        found = bounds(size, zone, since, until)
        assert found[:-1][1:] == expected[1:], size  # a week may have begun in the year before
        assert found[0] <= since
        assert found[-1] >= until
        assert len(found) <= MOST_BUCKETS + 1


def test_days_have_23_24_and_25_hours_and_one_that_was_skipped_is_left_out() -> None:
    def days(name: str, since: datetime, count: int) -> list[float]:
        found = bounds(Size.DAY, ZoneInfo(name), since, since + timedelta(days=count))
        return [(end - start) / timedelta(hours=1) for start, end in pairwise(found)]

    assert days("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 2) == [23, 24, 24]
    assert days("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 1) == [25]
    assert days("Australia/Lord_Howe", datetime(2026, 4, 4, 13, tzinfo=UTC), 1) == [24.5]
    found = bounds(
        Size.DAY, ZoneInfo("Pacific/Apia"), datetime(2011, 12, 29, 10, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC)
    )
    assert [at.astimezone(ZoneInfo("Pacific/Apia")).day for at in found] == [29, 31, 1, 2]


def test_a_moment_is_in_the_bucket_that_it_begins() -> None:
    noon = datetime(2026, 5, 5, 12, tzinfo=UTC)
    found = bounds(Size.QUARTER, ZoneInfo("UTC"), noon, noon + 2 * QUARTER)
    assert found == [noon, noon + QUARTER, noon + 2 * QUARTER]
    moments = (noon, noon + QUARTER - timedelta.resolution, noon + QUARTER)
    assert [place_of(at, found) for at in moments] == [0, 0, 1]
    before_the_epoch = datetime(1969, 12, 31, 23, 59, 59, tzinfo=ZoneInfo("Asia/Kathmandu"))
    assert start_of(before_the_epoch, QUARTER) == datetime(1969, 12, 31, 18, 15, tzinfo=UTC)


def test_the_second_of_two_equal_hours_is_the_later_one() -> None:
    again = datetime(2026, 10, 25, 2, 20, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    assert start_of(again, QUARTER) == datetime(2026, 10, 25, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize("size", Size)
def test_ten_thousand_buckets_are_the_most(size: Size) -> None:
    since = datetime(1950, 1, 1, tzinfo=UTC)
    found = bounds(Size.MINUTE, ZoneInfo("UTC"), since, since + MOST_BUCKETS * timedelta(minutes=1))
    assert len(found) == MOST_BUCKETS + 1
    with pytest.raises(TooManyBuckets):
        bounds(size, ZoneInfo("UTC"), since, since.replace(year=3950))
