"""What the list of schedules shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.people import names_of
from service.dashboard.schedules.cron_words import in_words
from service.dashboard.schedules.ticks import OUTCOMES, Mark, day_words, latest, mark_of, spoken
from service.insight.words import Time, Words
from service.ledger.ledger import Ledger
from service.ledger.reads.figures import series
from service.ledger.reads.tick_jobs import jobs_of_ticks
from service.ledger.reads.ticks import recent_ticks
from service.lifecycle.schedules.schedules import Schedules, View
from service.web.cursor import Text, decode, encode
from service.words import counted

MARKS = 12
_SHOWN = 100
_DAY = timedelta(days=1)
_name: TypeAdapter[Text] = TypeAdapter(Text)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule. `words` is its expression in English, if there are words for it; `marks` are oldest first."""

    name: str
    label: str
    of_code: bool
    words: str | None
    cron: str
    time_zone: str
    next: datetime | None
    paused: bool
    pause: Words
    error: str | None
    marks: Sequence[Mark]
    spoken: str
    last: Mark | None
    said: Words


@dataclass(frozen=True, slots=True)
class SchedulesPage:
    """Schedules by their next tick or, where there are many, by name, page after page."""

    rows: Sequence[ScheduleRow]
    by_next: bool
    headline: str
    answer: Words
    older: str | None


async def read_schedules(schedules: Schedules, ledger: Ledger, cursor: str | None, now: datetime) -> SchedulesPage:
    """Read a page of schedules. Raises `BadCursor`."""
    page = await schedules.page(decode(_name, cursor) if cursor else "", _SHOWN)
    names = [view.name for view in page.views]
    async with ledger.read() as connection:
        ticks = await recent_ticks(connection, names, now, MARKS)
        jobs = await jobs_of_ticks(
            connection, [row["job_id"] for rows in ticks.values() for row in rows if row["job_id"]]
        )
        people = await names_of(
            connection, [None if view.row is None else view.row["paused_by"] for view in page.views]
        )
        counts = await _counts(connection, now)
    marks = {name: [mark_of(row, jobs) for row in reversed(told)] for name, told in ticks.items()}
    rows = [_row(view, marks[view.name], people, now) for view in page.views]
    by_next = cursor is None and page.after is None
    if by_next:
        rows.sort(key=lambda row: (row.next is None, row.next or now, row.name))
    return SchedulesPage(
        rows,
        by_next,
        _headline(rows, is_all=by_next),
        _answer(rows, counts),
        older=None if page.after is None else encode(page.after),
    )


async def _counts(connection: AsyncConnection, now: datetime) -> Mapping[str, int]:
    told = await series(connection, OUTCOMES, since=now - _DAY, until=now, step=timedelta(hours=1))
    return {event: sum(counts) for event, counts in told.counts.items()}


def _row(view: View, marks: Sequence[Mark], people: Mapping[str, str], now: datetime) -> ScheduleRow:
    row = view.row
    cron, zone, kind = when_of(view)
    last, said = latest(marks, zone_of_ticks(view), now)
    return ScheduleRow(
        name=view.name,
        label=next((mark.job.label for mark in reversed(marks) if mark.job is not None), kind),
        of_code=is_of_code(view),
        words=in_words(cron),
        cron=cron,
        time_zone=zone,
        next=view.next,
        paused=row is not None and bool(row["paused"]),
        pause=pause_words(row, people),
        error=view.error,
        marks=marks,
        spoken=spoken(marks) if marks else "No ticks yet",
        last=last,
        said=said,
    )


def zone_of_ticks(view: View) -> str:
    """Return the time zone to write ticks in: without a plan, the schedule's own may not exist."""
    return "UTC" if view.plan is None else view.plan.expression.zone.key


def when_of(view: View) -> tuple[str, str, str]:
    """Return the expression, the time zone and the kind of a schedule as said, even one without a plan."""
    if view.plan is not None:
        return view.plan.cron, view.plan.expression.zone.key, view.plan.kind
    assert view.row is not None
    return view.row["cron"], view.row["time_zone"], view.row["kind"]


def is_of_code(view: View) -> bool:
    return view.plan is not None and view.plan.source == "code"


def pause_words(row: RowMapping | None, people: Mapping[str, str]) -> Words:
    """Say who has paused a schedule, when, and why: `by ben, 6 days ago: “the source is moving”`."""
    if row is None or not row["paused"] or row["paused_at"] is None:
        return ()
    by = people.get(row["paused_by"] or "")
    reason = f": “{row['paused_reason']}”" if row["paused_reason"] else ""
    return (f"by {by}, ", Time(row["paused_at"]), reason) if by else ("paused ", Time(row["paused_at"]), reason)


def _headline(rows: Sequence[ScheduleRow], *, is_all: bool) -> str:
    paused, broken = sum(row.paused for row in rows), sum(row.error is not None for row in rows)
    if not rows:
        return "There are no schedules."
    told = []
    if paused:
        told.append(f"{paused} {'is' if paused == 1 else 'are'} paused")
    if broken:
        told.append(f"{broken} cannot run")
    ticking = len(rows) - sum(row.paused or row.error is not None for row in rows)
    of = counted(len(rows), "schedule")
    begin = f"{ticking} of {of} {'ticks' if ticking == 1 else 'tick'}"
    if ticking == len(rows):
        begin = f"All {of} tick" if ticking > 1 else "The schedule ticks"
    return f"{'; '.join([begin, *told])}{'' if is_all else ' on this page'}."


def _answer(rows: Sequence[ScheduleRow], counts: Mapping[str, int]) -> Words:
    words = [*day_words(counts)]
    coming = min(((row.next, row.name) for row in rows if row.next is not None), default=None)
    if coming is not None:
        words += [f" Next is {coming[1]}, ", Time(coming[0], "in"), "."]
    return tuple(words)
