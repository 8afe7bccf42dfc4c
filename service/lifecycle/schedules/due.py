"""What becomes of the ticks of a schedule that have come due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from service.ledger.records.ticked import TickOutcome
from service.lifecycle.schedules.plan import Plan

# A tick noticed later than this was missed; the schedule's `catch_up` says what becomes of it.
ON_TIME = timedelta(seconds=10)
MOST_CAUGHT_UP = 1_000
PAUSED = "the schedule was paused"
NO_WORKER = "no worker saw it come due"


class DueTick(NamedTuple):
    """A tick that has come due. It is fired unless there is a reason against it."""

    plan: Plan
    due_at: datetime
    outcome: TickOutcome = "fired"
    reason: str | None = None


def due_ticks(plan: Plan, since: datetime, now: datetime) -> list[DueTick]:
    """Return the ticks after `since` that have come due, oldest first.

    For a long gap, these are the last thousand, and one missed tick before them, which stands for all others.
    """
    due = plan.between(since, now, MOST_CAUGHT_UP + 1)
    wanted = set() if plan.paused else set(_wanted(plan, due, now))
    reason = PAUSED if plan.paused else NO_WORKER
    ticks = [DueTick(plan, tick) if tick in wanted else DueTick(plan, tick, "missed", reason) for tick in due]
    if len(ticks) > MOST_CAUGHT_UP:
        ticks[0] = ticks[0]._replace(reason=f"{reason}; nor were earlier ones fired, which are not listed")
    return ticks


def _wanted(plan: Plan, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Choose the due ticks that become jobs: all that are on time, and the missed ones that `catch_up` asks for."""
    if plan.catch_up == "all":
        return due[-MOST_CAUGHT_UP:]
    on_time = [tick for tick in due[-MOST_CAUGHT_UP:] if tick >= now - ON_TIME]
    return on_time or (due[-1:] if plan.catch_up == "last" else ())
