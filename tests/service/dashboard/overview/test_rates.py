"""Rates by the minute and now: a minute that has hardly begun says nothing, and live rates are preferred."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from service.dashboard.overview.rates import in_words, rates_of
from service.ledger.reads.figures import Series

START = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def series(until: datetime, **counts: Sequence[int]) -> Series:
    steps = len(next(iter(counts.values())))
    events = ("enqueued", "succeeded", "retried", "failed", "cancelled")
    nothing: dict[str, Sequence[int]] = dict.fromkeys(events, (0,) * steps)
    return Series(START, MINUTE, until, nothing | counts)


def test_counts_are_told_by_the_second() -> None:
    rates = rates_of(series(START + 2 * MINUTE, enqueued=[60, 120], succeeded=[30, 30], failed=[0, 6]), None)
    assert [minute.rates for minute in rates.minutes] == [(1.0, 0.5, 0.0, 0.0), (2.0, 0.5, 0.0, 0.1)]
    assert rates.now == {"enqueued": 2.0, "succeeded": 0.5, "retried": 0.0, "failed": 0.1}
    assert (rates.ended, rates.succeeded) == (66, 60)


def test_the_last_minute_counts_for_as_long_as_it_lasted() -> None:
    half = rates_of(series(START + 1.5 * MINUTE, enqueued=[60, 60]), None)
    assert [minute.rates[0] for minute in half.minutes] == [1.0, 2.0]
    begun = rates_of(series(START + timedelta(seconds=70), enqueued=[60, 60]), None)
    assert [minute.rates[0] for minute in begun.minutes] == [1.0]


def test_live_rates_are_those_of_the_last_seconds() -> None:
    assert rates_of(series(START + MINUTE, enqueued=[60]), {"enqueued": 7.5}).now["enqueued"] == 7.5
    assert rates_of(series(START, enqueued=[0]), None).now["enqueued"] is None


def test_the_chart_is_said_in_words() -> None:
    minutes = rates_of(series(START + MINUTE, enqueued=[90], succeeded=[60]), None).minutes
    assert in_words(minutes, ["2.14.1"], ["hooks.example.com is down"]) == (
        "Jobs per second over the last hour, on average: enqueued 1.5, succeeded 1.0, retried 0.0, failed 0.0."
        " 2.14.1 was deployed. hooks.example.com is down."
    )
    assert "nothing is known" in in_words([], [], [])
