"""Jobs per second: by the minute from the figures, and right now from the pulse's counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.ledger.reads.figures import Series

# In the order of the legend.
EVENTS = ("enqueued", "succeeded", "retried", "failed")
ENDED = ("succeeded", "failed", "cancelled")
# A step that has only just begun says little.
_LEAST_OF_A_STEP = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Minute:
    """The rates of one minute, per second, in the order of `EVENTS`."""

    at: datetime
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """The hour's rates, known `until` a moment; how many jobs ended in it, and how many succeeded."""

    minutes: Sequence[Minute]
    until: datetime
    now: Mapping[str, float | None]
    ended: int
    succeeded: int


def rates_of(series: Series, live: Mapping[str, float] | None) -> Rates:
    """Return the hour's rates. `live` are the rates of the last seconds, if known."""
    minutes = []
    for number in range(len(series.counts[EVENTS[0]])):
        at = series.start + number * series.step
        lasted = min(series.step, series.until - at)
        if lasted >= _LEAST_OF_A_STEP:
            counts = (series.counts[event][number] for event in EVENTS)
            minutes.append(Minute(at, tuple(count / lasted.total_seconds() for count in counts)))
    latest = minutes[-1].rates if minutes else (None,) * len(EVENTS)
    by_minute = dict(zip(EVENTS, latest, strict=True))
    return Rates(
        minutes=minutes,
        until=series.until,
        now=by_minute if live is None else {event: live.get(event, 0.0) for event in EVENTS},
        ended=sum(sum(series.counts[event]) for event in ENDED),
        succeeded=sum(series.counts["succeeded"]),
    )


def in_words(minutes: Sequence[Minute], deploys: Sequence[str], spans: Sequence[str]) -> str:
    """Say what the chart shows."""
    if not minutes:
        return "Jobs per second over the last hour: nothing is known yet."
    means = [sum(rates) / len(minutes) for rates in zip(*(minute.rates for minute in minutes), strict=True)]
    levels = ", ".join(f"{event} {mean:.1f}" for event, mean in zip(EVENTS, means, strict=True))
    marks = "".join(f" {version} was deployed." for version in deploys) + "".join(f" {name}." for name in spans)
    return f"Jobs per second over the last hour, on average: {levels}.{marks}"
