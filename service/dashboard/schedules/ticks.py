"""What became of ticks: a row of marks for the last ones, and the latest in words. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from service.dashboard.schedules.cron_words import in_zone
from service.dashboard.text import span_text
from service.insight.words import Time, Words
from service.ledger.reads.tick_jobs import TickJob
from service.ledger.states import TERMINAL, State
from service.schedule_tables import RUN_NOW
from service.words import counted

SKIPPED, MISSED, GONE = "skipped", "missed", "ended"
OUTCOMES = ("fired", SKIPPED, MISSED)
_LONGEST_ERROR = 90
_DAY = timedelta(days=1)
_NOT_ENDED = "of an earlier tick, had not ended"


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick: `became` is the state of its job, or `skipped`, `missed`, or `ended` for a job that is no longer kept.

    `tone` is the state that it is coloured as.
    """

    due_at: datetime
    became: str
    tone: str
    reason: str | None
    job: TickJob | None
    out_of_turn: bool

    @property
    def took_s(self) -> float | None:
        job = self.job
        if job is None or job.started_at is None or job.finished_at is None:
            return None
        return (job.finished_at - job.started_at).total_seconds()


def mark_of(row: RowMapping, jobs: Mapping[str, TickJob]) -> Mark:
    """Return what became of a row of `ticks`."""
    job = jobs.get(row["job_id"] or "")
    became, tone = (row["outcome"], State.CANCELLED if row["outcome"] == SKIPPED else State.RETRYING)
    if row["outcome"] == "fired":
        became = GONE if job is None else job.state
        tone = State.CANCELLED if job is None else job.state
    out_of_turn = row["reason"] == RUN_NOW
    reason = None if out_of_turn or row["reason"] is None else reason_text(row["reason"])
    return Mark(row["due_at"], became, tone, reason, job, out_of_turn)


def reason_text(reason: str) -> str:
    """Say why a tick was not fired, without the id of a job that a reader does not know."""
    return "the job of an earlier tick still ran" if reason.endswith(_NOT_ENDED) else reason


def spoken(marks: Sequence[Mark]) -> str:
    """Describe a row of marks: `Last 12 ticks: 11 succeeded, 1 running`."""
    counted = Counter(mark.became for mark in marks)
    told = ", ".join(f"{count} {became}" for became, count in counted.most_common())
    return f"Last {len(marks)} ticks: {told}" if len(marks) != 1 else f"Last tick: {marks[0].became}"


def latest(marks: Sequence[Mark], time_zone: str, now: datetime) -> tuple[Mark | None, Words]:
    """Return the latest mark with a job, and what to say about it and about a tick that was not fired within a day.

    `marks` are oldest first, of a schedule in `time_zone`.
    """
    fired = [mark for mark in marks if mark.became not in (SKIPPED, MISSED)]
    if not fired:
        return None, _not_fired(marks[-1], time_zone) if marks else ()
    mark = fired[-1]
    words = _outcome(mark)
    passed = [one for one in marks if one.became in (SKIPPED, MISSED) and one.due_at > now - _DAY]
    return mark, (*words, "; ", *_not_fired(passed[-1], time_zone)) if passed else words


def day_words(counts: Mapping[str, int]) -> Words:
    """Say what became of a day's ticks, counted by `OUTCOMES`."""
    fired, skipped, missed = (counts.get(outcome, 0) for outcome in OUTCOMES)
    if not fired + skipped + missed:
        return ()
    jobs = f" In the last 24 hours {counted(fired, 'tick')} became {'a job' if fired == 1 else 'jobs'},"
    return (jobs, f" {_none(skipped)} {_were(skipped)} skipped, {_none(missed)} {_were(missed)} missed.")


def _none(count: int) -> str:
    return f"{count:,}" if count else "none"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _outcome(mark: Mark) -> Words:
    job = mark.job
    if job is None:
        return Time(mark.due_at), "; its job is no longer kept"
    if job.state is State.RUNNING and job.started_at is not None:
        return "for ", Time(job.started_at, "for"), f", on {job.worker}"
    if job.state is State.FAILED:
        return Time(job.finished_at or mark.due_at), f": {_error(job)}"
    if job.state in TERMINAL:
        took = "" if mark.took_s is None else f", took {span_text(mark.took_s)}"
        return Time(job.finished_at or mark.due_at), took
    return "due ", Time(mark.due_at)


def _not_fired(mark: Mark, time_zone: str) -> Words:
    [(_, due)] = in_zone([mark.due_at], time_zone)
    return (f"{mark.became} {due}, as {mark.reason}",)


def _error(job: TickJob) -> str:
    text = " ".join((job.error_message or job.error_type or "no reason is known").split())
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"
