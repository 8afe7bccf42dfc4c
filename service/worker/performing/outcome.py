"""How an attempt ended: its outcome, read from a result, an exception, a timeout, a stop or a crash."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from jobs.kit.outcomes import Discard, PartialResult, Retry, Snooze, to_timedelta
from service.ledger.models import Failure
from service.ledger.states import (
    MAX_LOST,
    SUCCESS,
    WORKER_LOST,
    Outcome,
    State,
    state_after_crash,
    state_after_isolated_loss,
)
from service.worker.performing.failure import failure_of, is_instance, leaves_of, type_name
from service.worker.performing.lane_signs import NO_SIGN, Sign, sign_in

# Due times must stay within the calendar.
LONGEST_WAIT = timedelta(days=3650)


class AttemptOutcome(NamedTuple):
    """An attempt's outcome, with everything that follows from it.

    `after` is the wait that the kind asked for. `error` chooses the retry policy. `final` ends the job even if another
    attempt could follow. `sign` is what the errors say of the job's destination.
    """

    outcome: Outcome
    result: str | None = None
    failure: Failure | None = None
    after: timedelta | None = None
    error: BaseException | None = None
    final: bool = False
    sign: Sign = NO_SIGN


class Blocked(NamedTuple):
    """Why a timeout came late: the event loop was blocked, by the attempt itself if the watch saw so."""

    ran_for_s: float
    by_itself: bool


def of_result(result: str, value: object) -> AttemptOutcome:
    """Read what a kind returned: its JSON and, if it succeeded only in part, what is missing."""
    missing = value.shortfall if isinstance(value, PartialResult) else None
    failure = None if missing is None else replace(failure_of(missing), traceback=None)
    return AttemptOutcome(SUCCESS, result, failure)


def of_error(error: BaseException) -> AttemptOutcome:
    """Read what a kind raised. The errors of a group are read together. Never raises."""
    try:
        return _read(error, leaves_of(error))
    except BaseException:  # noqa: BLE001 - an author's `after` may be anything, but the attempt has failed all the same
        return AttemptOutcome(Outcome.FAILED, failure=failure_of(error), error=error)


def _read(error: BaseException, leaves: Sequence[BaseException]) -> AttemptOutcome:
    """One `Discard` in a group ends the job; the job is snoozed only if every error in the group is a `Snooze`."""
    if (discard := next((one for one in leaves if is_instance(one, Discard)), None)) is not None:
        return AttemptOutcome(Outcome.DISCARDED, failure=failure_of(error, discard), sign=sign_in(leaves))
    after = _longest_after(leaves)
    if all(is_instance(one, Snooze) for one in leaves):
        return AttemptOutcome(Outcome.SNOOZED, after=after)
    if is_instance(error, asyncio.CancelledError):
        message = "The kind raised CancelledError although nobody had cancelled it."
        return AttemptOutcome(Outcome.FAILED, failure=Failure("CancelledError", message), error=error)
    only = leaves[0] if len(leaves) == 1 else None
    failure = failure_of(error, only)
    return AttemptOutcome(Outcome.FAILED, failure=failure, after=after, error=error, sign=sign_in(leaves))


def _longest_after(leaves: Iterable[BaseException]) -> timedelta | None:
    """Return the longest wait that a `Retry` or `Snooze` asks for, at most `LONGEST_WAIT`."""
    asked = [one.after for one in leaves if is_instance(one, Retry, Snooze)]  # type: ignore[attr-defined]
    waits = [max(timedelta(0), min(to_timedelta(after), LONGEST_WAIT)) for after in asked if after is not None]
    return max(waits, default=None)


def of_untold(problem: BaseException) -> AttemptOutcome:
    """Make the outcome of an end that could not be judged: a plain failure that says so."""
    message = f"How the attempt ended cannot be told: judging it raised {type_name(problem)}."
    return AttemptOutcome(Outcome.FAILED, failure=Failure("OutcomeUntold", message))


def of_timeout(timeout: timedelta, blocked: Blocked | None = None) -> AttemptOutcome:
    """Read a timeout, whatever the kind made of its cancellation; `blocked` says why it came late."""
    message = f"The attempt took longer than its timeout of {timeout.total_seconds():g} s."
    if blocked is not None:
        whose = "it" if blocked.by_itself else "this attempt, or one beside it,"
        message += (
            f" It went on for {blocked.ran_for_s:.1f} s, because {whose} blocked the event loop: run blocking work by"
            " `await ctx.thread(...)`."
        )
    # Where the loop was blocked, the destination may well have answered.
    sign = NO_SIGN if blocked else Sign(answered=False)
    error = TimeoutError(message)
    return AttemptOutcome(Outcome.TIMED_OUT, failure=Failure("TimedOut", message), error=error, sign=sign)


def of_stop(outcome: Outcome) -> AttemptOutcome:
    """Read a stop: a user cancelled the job, or the worker stops and interrupted the attempt."""
    reasons = {
        Outcome.CANCELLED: "The job was cancelled while it ran.",
        Outcome.INTERRUPTED: "The worker stopped; the job goes to another one.",
    }
    return AttemptOutcome(outcome, failure=Failure(outcome.capitalize(), reasons[outcome]))


def of_no_slot() -> AttemptOutcome:
    """Read the end of a prefetched attempt that waited too long for a slot."""
    return _interrupted("The worker had no slot for it; the job goes to whoever has one.")


def of_unheard() -> AttemptOutcome:
    """Read the end of an attempt whose start was recorded, but whose worker never heard of it."""
    return _interrupted("The attempt was recorded, but its worker had not heard of it.")


def of_unprepared() -> AttemptOutcome:
    """Read the end of an attempt that could not be given what it needs, because the database went away."""
    return _interrupted("What the job has kept, or what it came after, could not be read. The job is tried again.")


def of_lost_wait(worker: str) -> AttemptOutcome:
    """Read the loss of an attempt that may still have waited for a slot when its worker died; it costs nothing."""
    return _interrupted(
        f"Worker {worker} died while this job waited for a slot, or had just got one. The job is tried again."
    )


def _interrupted(message: str) -> AttemptOutcome:
    return AttemptOutcome(Outcome.INTERRUPTED, failure=Failure("Interrupted", message))


def of_crash(what: str, crashes: int, max_crashes: int) -> AttemptOutcome:
    """Read the death of the process that ran the attempt; `crashes` includes this one."""
    last = state_after_crash(crashes, max_crashes) is State.FAILED
    message = f"{what} That was crash {crashes} of at most {max_crashes}: " if last else f"{what} "
    message += "the job is not tried again." if last else "The job is tried again."
    return AttemptOutcome(Outcome.CRASHED, failure=Failure("Crashed", message), final=last)


def of_lost_isolated(worker: str, losses: int) -> AttemptOutcome:
    """Read the loss of an isolated attempt whose worker died; `losses` includes this one."""
    last = state_after_isolated_loss(losses) is State.FAILED
    message = f"Worker {worker} died while this job ran in a process of its own: time {losses} of at most {MAX_LOST}. "
    message += "The job is not tried again." if last else "The job is tried again."
    return AttemptOutcome(Outcome.INTERRUPTED, failure=Failure(WORKER_LOST, message), final=last)
