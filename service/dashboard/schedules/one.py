"""What the page of one schedule shows: when it is due, what it enqueues, and what became of its ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from service.dashboard.people import names_of
from service.dashboard.schedules.cron_words import in_words, in_zone
from service.dashboard.schedules.listing import is_of_code, pause_words, when_of, zone_of_ticks
from service.dashboard.schedules.ticks import Mark, day_words, latest, mark_of
from service.dashboard.text import span_text
from service.errors import ScheduleInvalid
from service.insight.words import Time, Words
from service.ledger.ledger import Ledger
from service.ledger.reads.tick_jobs import jobs_of_ticks
from service.ledger.reads.ticks import count_ticks, history
from service.lifecycle.schedules.schedules import Schedules, View
from service.web.cursor import decode, encode
from service.web.moments import Moment

_TICKS = 50
_NEXT = 5
_DAY = timedelta(days=1)
_moment: TypeAdapter[datetime] = TypeAdapter(Moment)
_CATCH_UP = {"none": "no tick becomes a job", "last": "the last tick becomes a job", "all": "all ticks become jobs"}
_OVERLAP = {
    "allow": "another is enqueued anyway",
    "skip": "the tick is skipped",
    "replace": "it is cancelled, and the new one takes its place",
}


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """A schedule. `facts` are (term, words); `args` are as readers see them, None: the kind's defaults."""

    name: str
    of_code: bool
    paused: bool
    pause: Words
    reason: str | None
    words: str | None
    answer: Words
    error: str | None
    cron: str
    time_zone: str
    kind: str
    next: Sequence[tuple[datetime, str]]
    facts: Sequence[tuple[str, Words]]
    args: Any
    options: Any
    marks: Sequence[Mark]
    older: str | None


async def read_schedule(
    schedules: Schedules, ledger: Ledger, name: str, cursor: str | None, now: datetime
) -> SchedulePage:
    """Read a schedule with a page of its ticks, latest first. Raises `ScheduleNotFound` and `BadCursor`."""
    view = await schedules.find(name)
    before = decode(_moment, cursor) if cursor else None
    async with ledger.read() as connection:
        rows = await history(connection, name, before, _TICKS + 1)
        jobs = await jobs_of_ticks(connection, [row["job_id"] for row in rows if row["job_id"]])
        people = await names_of(connection, [None if view.row is None else view.row["paused_by"]])
        counts = await count_ticks(connection, name, now - _DAY, now)
    marks = [mark_of(row, jobs) for row in rows[:_TICKS]]
    cron, zone, kind = when_of(view)
    row = view.row
    paused = row is not None and bool(row["paused"])
    return SchedulePage(
        name=name,
        of_code=is_of_code(view),
        paused=paused,
        pause=pause_words(row, people),
        reason=None if row is None else row["paused_reason"],
        words=in_words(cron),
        answer=(*_answer(view, marks if before is None else [], now), *day_words(counts)),
        error=view.error,
        cron=cron,
        time_zone=zone,
        kind=kind,
        next=[] if paused else in_zone(await _coming(schedules, name), zone),
        facts=_facts(view),
        args=None if row is None or row["args"] is None else from_json(row["args"]),
        options={} if row is None else from_json(row["options"]),
        marks=marks,
        older=encode(marks[-1].due_at.isoformat()) if len(rows) > _TICKS else None,
    )


async def _coming(schedules: Schedules, name: str) -> Sequence[datetime]:
    try:
        return await schedules.next(name, _NEXT)
    except ScheduleInvalid:  # the page says why
        return ()


def _answer(view: View, marks: Sequence[Mark], now: datetime) -> Words:
    """Say when it is next due, and what became of the latest tick."""
    coming: Words = (" Next ", Time(view.next, "in"), ".") if view.next is not None else ()
    mark, said = latest(marks[::-1], zone_of_ticks(view), now)
    if mark is None or mark.job is None:
        return coming
    return (*coming, f" Its latest job {_became(mark)} ", *said, ".")


def _became(mark: Mark) -> str:
    return {"running": "runs", "queued": "is queued,", "scheduled": "is"}.get(mark.became, mark.became)


def _facts(view: View) -> Sequence[tuple[str, Words]]:
    plan = view.plan
    if plan is None:
        return ()
    facts: list[tuple[str, Words]] = [
        ("Missed while no worker ran", (_CATCH_UP[plan.catch_up],)),
        ("If the last job still runs", (_OVERLAP[plan.overlap],)),
    ]
    if plan.jitter_s:
        facts.append(("Spread over", (span_text(plan.jitter_s),)))
    if plan.start is not None:
        facts.append(("Not before", (Time(plan.start, "in") if view.last is None else Time(plan.start),)))
    if plan.end is not None:
        facts.append(("Not after", (Time(plan.end, "in" if view.next is not None else "ago"),)))
    if view.row is not None and view.row["kind"] is not None:
        facts.append(("Changed", (Time(view.row["updated_at"]),)))
    return facts
