"""Schedules with the ticks of the day. If a real worker fires them, their jobs only count, and send nothing."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, select

from service.demo.recording import record_attempts
from service.demo.staff import API, Staff
from service.demo.story import TAG, Author, Story
from service.ledger.records.schedules import NewSchedule, Pause, record_paused, record_schedule
from service.ledger.records.ticked import Tick, TickOutcome, record_ticks
from service.lifecycle.schedules.plan import plan_of_row
from service.lifecycle.schedules.stored_options import written_options
from service.options import Options
from service.schedule_tables import schedules

_DRY_RUN = {"dry_run": True, "older_than_days": 30}
_DELETED = {"dry_run": True, "older_than_days": 30, "deleted": {"jobs": 0, "attempts": 0, "files": 0}}
# A worker may be about to fire a tick that has just come due.
_LEFT_TO_WORKERS = timedelta(minutes=2)
_PAUSED = timedelta(minutes=40)

Outcomes = Callable[[int], tuple[TickOutcome, str | None]]


class ToldSchedule(NamedTuple):
    """A schedule. What became of a tick depends on how many have come since."""

    said: NewSchedule
    outcome: Outcomes
    pause: Pause | None = None


def _fired(_: int) -> tuple[TickOutcome, str | None]:
    return "fired", None


def _some_skipped(ago: int) -> tuple[TickOutcome, str | None]:
    return ("skipped", "the job of an earlier tick had not ended") if ago in (3, 4) else ("fired", None)


def _some_missed(ago: int) -> tuple[TickOutcome, str | None]:
    return ("missed", "no worker was alive when it came due") if ago in (9, 10) else ("fired", None)


def _schedule(name: str, kind: str, args: object, cron: str, *, time_zone: str = "UTC") -> NewSchedule:
    options = written_options(Options(tags=(TAG,)))
    told = to_json(args).decode()
    return NewSchedule(name, kind, told, None, options, cron, time_zone, "last", "skip", 0.0, None, None)


def told_schedules(now: datetime) -> Sequence[ToldSchedule]:
    """Return the schedules of the demo."""
    failed = {"dry_run": True, "older_than_days": 7}
    digest = {"to": ["team@example.com"], "subject": "Yesterday in the shop", "text": "See the attached figures."}
    pause = Pause(now - _PAUSED, "user:ann (demo)", "the figures are wrong since the migration")
    daily = _schedule("demo-daily-digest", "send_email", digest, "0 8 * * *", time_zone="Europe/Berlin")
    return (
        ToldSchedule(_schedule("demo-count-expired", "cleanup", _DRY_RUN, "5 * * * *"), _some_skipped),
        ToldSchedule(_schedule("demo-count-week", "cleanup", failed, "*/30 * * * *"), _some_missed),
        ToldSchedule(daily, _fired, pause),
    )


def record_schedules(connection: Connection, author: Author) -> list[Story]:
    """Record schedules, their ticks of the day and the jobs of those ticks; return the jobs."""
    now, stories = author.staff.now, list[Story]()
    for told in told_schedules(now):
        record_schedule(connection, told.said, author.staff.began)
        stories += _record_ticks(connection, author, told)
        if told.pause is not None:
            record_paused(connection, told.said.name, told.pause, is_of_code=False)
    return stories


def _record_ticks(connection: Connection, author: Author, told: ToldSchedule) -> list[Story]:
    said, stories = told.said, list[Story]()
    revision = connection.execute(select(schedules.c.revision).where(schedules.c.name == said.name)).scalar_one()
    tick = partial(Tick, said.name, said.kind, cron=said.cron, revision=int(revision), overlap=said.overlap)
    for ago, due_at in reversed(list(enumerate(_times(connection, told, author.staff), start=1))):
        outcome, reason = told.outcome(ago)
        story = None
        if outcome == "fired":
            tags = ["cron", f"schedule:{said.name}"]
            story = author.story(said.kind, from_json(said.args), due_at + timedelta(milliseconds=120), tags=tags)
        job = None if story is None else story.job
        record_ticks(connection, [tick(due_at=due_at, outcome=outcome, job=job, reason=reason)], writer=API, now=due_at)
        if story is not None:
            author.succeed(story, story.next_at, 0.2, _DELETED if said.kind == "cleanup" else None)
            record_attempts(connection, [story])
            stories.append(story)
    return stories


def _times(connection: Connection, told: ToldSchedule, staff: Staff) -> list[datetime]:
    """Return when it came due during the day before it was paused, latest first."""
    row = connection.execute(select(schedules).where(schedules.c.name == told.said.name)).mappings().one()
    until = staff.now - _LEFT_TO_WORKERS if told.pause is None else told.pause.paused_at
    return list(takewhile(lambda due_at: due_at < until, plan_of_row(row).after(staff.began)))[::-1]
