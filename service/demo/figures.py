"""The figures of the day: what happened by the minute, levels, and how long it all took."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from service.demo.staff import QUEUE, SLOTS, Staff
from service.demo.story import Story
from service.histogram import SIZE, place_of
from service.insight.levels import GAP, LOOP_LAG, OLDEST, PICK_UP, PICK_UP_99, STATES, UNACCOUNTED, of_queue
from service.lane_rules import in_order
from service.ledger.records.durations import ALL_KINDS, Histogram, bucket_of, record_durations
from service.ledger.records.failed import minute_of
from service.ledger.records.lane_figures import STARTS_KEPT, Starts, record_lane_starts
from service.ledger.records.series import record_levels, record_totals
from service.ledger.states import Outcome, State

_MINUTE = timedelta(minutes=1)
_WORKERS = 3
_SHOWN_CLOSELY = timedelta(hours=3)
_ELSE_EACH = 10
# Living workers may have recorded later levels.
_LOOKED_UNTIL = timedelta(minutes=1)


def record_events(connection: Connection, stories: Sequence[Story], staff: Staff) -> None:
    """Record what had happened by the end of each minute."""
    by_minute = defaultdict[datetime, Counter[tuple[str, str]]](Counter)
    for at, kind, event in _events(stories):
        by_minute[minute_of(min(at, staff.now))].update(((kind, event), (ALL_KINDS, event)))
    totals, minute = Counter[tuple[str, str]](), minute_of(staff.began)
    while minute <= staff.now:
        totals.update(by_minute[minute])
        record_totals(connection, {one: totals[one] for one in by_minute[minute]}, minute)
        minute += _MINUTE


def _events(stories: Sequence[Story]) -> Iterator[tuple[datetime, str, str]]:
    for story in stories:
        kind = story.job.counted_as
        yield story.job.created_at, kind, "enqueued"
        for attempt in story.attempts:
            yield attempt.at, kind, "started"
            yield attempt.ended_at, kind, "retried" if attempt.state is State.RETRYING else str(attempt.state)
        if story.cancelled_at is not None:
            yield story.cancelled_at, kind, "cancelled"


class _Span(NamedTuple):
    """The time for which a job counts in a level."""

    level: str
    since: datetime
    until: datetime | None


def record_levels_of(connection: Connection, stories: Sequence[Story], staff: Staff) -> None:
    """Record the levels: each minute of the last hours, and less often before that."""
    changes = defaultdict[datetime, Counter[str]](Counter)
    oldest_at: datetime | None = None
    for story in stories:
        for level, since, until in _spans(story, staff.now):
            changes[_mark(since)][level] += 1
            if until is not None:
                changes[_mark(until)][level] -= 1
            elif level == "waiting":
                oldest_at = min(oldest_at or since, since)
    stands, minute = Counter[str](), minute_of(staff.began)
    while minute <= staff.now - _LOOKED_UNTIL:
        stands.update(changes[minute])
        if minute >= staff.now - _SHOWN_CLOSELY or not minute.minute % _ELSE_EACH:
            record_levels(connection, _values(stands, minute, oldest_at), minute)
        minute += _MINUTE


def _mark(at: datetime) -> datetime:
    """Return the first look at or after a time."""
    minute = minute_of(at)
    return minute if minute == at else minute + _MINUTE


def _spans(story: Story, now: datetime) -> Iterator[_Span]:
    """Yield the levels that a job counts in, and for how long."""
    for attempt in story.attempts:
        yield _Span("running", attempt.at, attempt.ended_at)
    for before, after in pairwise(story.attempts):
        yield _Span("retrying", before.ended_at, after.at)
    if story.is_over:
        return
    since = story.attempts[-1].ended_at if story.attempts else story.job.created_at
    if story.due_at <= now and story.state is not State.BLOCKED:
        if story.attempts:
            yield _Span("retrying", since, story.due_at)
        yield _Span("waiting", max(since, story.due_at), None)
    else:
        yield _Span(str(story.state), since, None)


def _values(stands: Mapping[str, int], minute: datetime, oldest_at: datetime | None) -> dict[str, float]:
    values = {state: float(stands.get(state, 0)) for state in STATES}
    age_s = max(0.0, (minute - oldest_at).total_seconds()) if oldest_at is not None else 0.0
    busy = values["running"]
    values |= {"slots": float(_WORKERS * SLOTS), GAP: 0.0, UNACCOUNTED: 0.0, OLDEST: age_s}
    values |= {LOOP_LAG: 0.001 + busy / 4_000, PICK_UP: 0.03 + busy / 1_000, PICK_UP_99: 0.18 + busy / 100}
    queue = {"waiting": values["waiting"], "running": busy, OLDEST: age_s}
    return values | {of_queue(what, QUEUE): value for what, value in queue.items()}


def record_durations_of(connection: Connection, stories: Sequence[Story]) -> None:
    """Record the histograms of all attempts."""
    counts = defaultdict[tuple[datetime, str, str, str], list[int]](lambda: [0] * SIZE)
    sums = Counter[tuple[datetime, str, str, str]]()
    for at, kind, writer, measure, seconds in _durations(stories):
        for name in (kind, ALL_KINDS):
            counts[key := (bucket_of(at), name, measure, writer)][place_of(seconds)] += 1
            sums[key] += seconds  # type: ignore[assignment]
    record_durations(connection, [Histogram(*key, counted, float(sums[key])) for key, counted in counts.items()])


def record_lane_starts_of(connection: Connection, stories: Sequence[Story], staff: Staff) -> None:
    """Record how many jobs were started in each lane, as far back as workers' own counts are kept."""
    since = staff.now - STARTS_KEPT
    counts = Counter(
        (lane, bucket_of(attempt.at), attempt.worker)
        for story in stories
        for attempt in story.attempts
        if attempt.at > since
        for lane in in_order(story.job.lane, story.job.kind_lane)
    )
    record_lane_starts(connection, [Starts(*key, started) for key, started in counts.items()])


def _durations(stories: Sequence[Story]) -> Iterator[tuple[datetime, str, str, str, float]]:
    for story in stories:
        kind = story.job.counted_as
        for attempt in story.attempts:
            waited, ran = attempt.at - attempt.due_at, attempt.ended_at - attempt.at
            told = (attempt.ended_at, kind, attempt.worker)
            yield *told, "wait", max(0.0, waited.total_seconds())
            yield *told, "run", ran.total_seconds()
            if attempt.outcome is Outcome.SUCCEEDED:
                yield *told, "total", (attempt.ended_at - story.job.run_at).total_seconds()
