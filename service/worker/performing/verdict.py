"""What an attempt's end means: from a result or an exception to an outcome, and from there to the job's next state."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import RowMapping

from jobs.kit.outcomes import Discard, PartialResult, Retry, Snooze, to_timedelta
from jobs.kit.retry import RetryPolicy
from service import logs
from service.ledger.models import Failure, Finish, Started
from service.ledger.states import (
    COUNTS_AS_FAILURE,
    MAX_LOST,
    WORKER_LOST,
    Outcome,
    State,
    state_after,
    state_after_crash,
    state_after_isolated_loss,
)
from service.worker.backoff import retry_wait
from service.worker.performing.failure import failure_of, leaves_of, type_name

log = structlog.get_logger(__name__)

# A due time must be one that a calendar has.
_LONGEST_WAIT = timedelta(days=3650)


class Verdict(NamedTuple):
    """An attempt's outcome. `after` is a wait that the kind asked for; `error` chooses the retry policy.

    `final` says that the job ends with it, although another attempt could follow.
    """

    outcome: Outcome
    result: str | None = None
    failure: Failure | None = None
    after: timedelta | None = None
    error: BaseException | None = None
    final: bool = False


def of_result(result: str, value: object) -> Verdict:
    """Read what a kind returned: its JSON and, where it succeeded in part, what is wanting."""
    wanting = value.shortfall if isinstance(value, PartialResult) else None
    failure = None if wanting is None else replace(failure_of(wanting), traceback=None)
    return Verdict(Outcome.SUCCEEDED, result=result, failure=failure)


class Blocked(NamedTuple):
    """A timeout that came late, for the event loop was blocked: by the attempt itself, where that was seen."""

    ran_for_s: float
    by_itself: bool


def of_error(error: BaseException) -> Verdict:
    """Read what a kind raised; in a group, what its errors say together. Never raises."""
    try:
        return _read(error, leaves_of(error))
    except BaseException:  # noqa: BLE001 - an author's `after` may be anything; the attempt has failed all the same
        return Verdict(Outcome.FAILED, failure=failure_of(error), error=error)


def _read(error: BaseException, leaves: Sequence[BaseException]) -> Verdict:
    """One `Discard` in a group ends the job; it is put off only where nothing in it has failed."""
    if (discard := next((one for one in leaves if _is(one, Discard)), None)) is not None:
        return Verdict(Outcome.DISCARDED, failure=failure_of(error, discard))
    after = _longest_after(leaves)
    if all(_is(one, Snooze) for one in leaves):
        return Verdict(Outcome.SNOOZED, after=after)
    if _is(error, asyncio.CancelledError):
        message = "The kind raised CancelledError although nobody had cancelled it."
        return Verdict(Outcome.FAILED, failure=Failure("CancelledError", message), error=error)
    only = leaves[0] if len(leaves) == 1 else None
    return Verdict(Outcome.FAILED, failure=failure_of(error, only), after=after, error=error)


def _longest_after(leaves: Iterable[BaseException]) -> timedelta | None:
    """Return the longest wait that a `Retry` or `Snooze` asks for, as a calendar has it."""
    asked = [one.after for one in leaves if _is(one, Retry, Snooze)]  # type: ignore[attr-defined]
    waits = [max(timedelta(0), min(to_timedelta(after), _LONGEST_WAIT)) for after in asked if after is not None]
    return max(waits, default=None)


def _is(error: BaseException, *classes: type[BaseException]) -> bool:
    """`isinstance`, which would ask an author's `__class__` property."""
    return issubclass(type(error), classes)


def of_untold(problem: BaseException) -> Verdict:
    """An attempt whose end could not be judged: a plain failure that says so."""
    message = f"How the attempt ended cannot be told: judging it raised {type_name(problem)}."
    return Verdict(Outcome.FAILED, failure=Failure("OutcomeUntold", message))


def of_timeout(timeout: timedelta, blocked: Blocked | None = None) -> Verdict:
    """An attempt that took too long, whatever it made of its cancellation; `blocked` where that kept it going on."""
    message = f"The attempt took longer than its timeout of {timeout.total_seconds():g} s."
    if blocked is not None:
        whose = "it" if blocked.by_itself else "this attempt, or one beside it,"
        message += (
            f" It went on for {blocked.ran_for_s:.1f} s, because {whose} blocked the event loop: run blocking work by"
            " `await ctx.thread(...)`."
        )
    return Verdict(Outcome.TIMED_OUT, failure=Failure("TimedOut", message), error=TimeoutError(message))


def of_stop(outcome: Outcome) -> Verdict:
    """An attempt that was cancelled by a user, or interrupted because its worker stops."""
    reasons = {
        Outcome.CANCELLED: "The job was cancelled while it ran.",
        Outcome.INTERRUPTED: "The worker stopped; the job goes to another one.",
    }
    return Verdict(outcome, failure=Failure(outcome.capitalize(), reasons[outcome]))


def of_no_slot() -> Verdict:
    """An attempt that was started ahead of its slot, and waited for it too long."""
    message = "The worker had no slot for it; the job goes to whoever has one."
    return Verdict(Outcome.INTERRUPTED, failure=Failure("Interrupted", message))


def of_unheard() -> Verdict:
    """An attempt that was recorded under a worker which never heard of it."""
    message = "The attempt was recorded, but its worker had not heard of it."
    return Verdict(Outcome.INTERRUPTED, failure=Failure("Interrupted", message))


def of_crash(what: str, crashes: int, max_crashes: int) -> Verdict:
    """An attempt whose process died; `crashes` includes this one."""
    last = state_after_crash(crashes, max_crashes) is State.FAILED
    message = f"{what} That was crash {crashes} of at most {max_crashes}: " if last else f"{what} "
    message += "the job is not tried again." if last else "The job is tried again."
    return Verdict(Outcome.CRASHED, failure=Failure("Crashed", message), final=last)


def of_lost_wait(worker: str) -> Verdict:
    """An attempt whose worker died, and which may have waited for a slot there: its job goes on without cost."""
    message = f"Worker {worker} died while this job waited for a slot, or had just got one. The job is tried again."
    return Verdict(Outcome.INTERRUPTED, failure=Failure("Interrupted", message))


def of_lost_isolated(worker: str, losses: int) -> Verdict:
    """An isolated attempt whose worker died; `losses` includes this one."""
    last = state_after_isolated_loss(losses) is State.FAILED
    message = f"Worker {worker} died while this job ran in a process of its own: time {losses} of at most {MAX_LOST}. "
    message += "The job is not tried again." if last else "The job is tried again."
    return Verdict(Outcome.INTERRUPTED, failure=Failure(WORKER_LOST, message), final=last)


def finish_of(started: Started, verdict: Verdict, policy: RetryPolicy, at: datetime) -> Finish:
    """Say where the job goes after this attempt, and when it runs again."""
    if verdict.outcome is Outcome.SUCCEEDED:
        names = (started.id, started.kind, started.attempt, started.worker)
        return Finish(*names, Outcome.SUCCEEDED, State.SUCCEEDED, at, result=verdict.result, failure=verdict.failure)
    failures = int(verdict.outcome in COUNTS_AS_FAILURE)
    wait = _wait(started, verdict, policy)
    state = state_after(
        verdict.outcome,
        failures=started.failures + failures,
        max_attempts=started.max_attempts,
        may_retry=wait is not None,
    )
    return Finish(
        id=started.id,
        kind=started.kind,
        attempt=started.attempt,
        worker=started.worker,
        outcome=verdict.outcome,
        state=State.FAILED if verdict.final else state,
        at=at,
        failures=failures,
        crashes=int(verdict.outcome is Outcome.CRASHED),
        run_at=at + wait if state is State.RETRYING and wait is not None else None,
        result=verdict.result,
        failure=verdict.failure,
    )


def finish_of_lost(running: RowMapping, verdict: Verdict, by: str, at: datetime) -> Finish:
    """End an attempt, known by its row alone, that nobody performs any more; its job is queued again at once."""
    return Finish(
        id=running["id"],
        kind=running["kind"],
        attempt=running["attempt"],
        worker=by,
        outcome=verdict.outcome,
        state=State.FAILED if verdict.final else State.QUEUED,
        at=at,
        crashes=int(verdict.outcome is Outcome.CRASHED),
        failure=verdict.failure,
    )


def _wait(started: Started, verdict: Verdict, policy: RetryPolicy) -> timedelta | None:
    """Return the wait before another attempt; None when the policy says never. Never raises."""
    try:
        chosen = policy if verdict.error is None else _policy_for(verdict.error, policy, started.failures)
        if chosen is None or (verdict.after is not None and not _or_later(verdict.error)):
            return None if chosen is None else verdict.after
        return max(verdict.after or timedelta(0), min(retry_wait(chosen, started.failures), _LONGEST_WAIT))
    except BaseException as problem:  # noqa: BLE001 - a policy is an author's code, too
        names = {"job_id": started.id, "kind": started.kind, "error": type_name(problem)}
        logs.surely(log.error, "retry_policy_failed", remedy="the default policy counts instead", **names)
        return retry_wait(RetryPolicy(), started.failures)


def _or_later(error: BaseException | None) -> bool:
    """Whether a `Retry` asks for the longer of its own wait and the policy's."""
    return error is not None and any(_is(one, Retry) and one.or_later for one in leaves_of(error))  # type: ignore[attr-defined]


def _policy_for(error: BaseException, policy: RetryPolicy, failures: int) -> RetryPolicy | None:
    """Choose for a group what its errors ask for: never where one does, else the longest wait.

    A `Retry` wants another attempt whatever `never` says; beside other errors it does not keep these from being heard.
    """
    leaves = [one for one in leaves_of(error) if not _is(one, Retry, Snooze)]
    if not leaves:
        return policy
    asked = {id(type(one)): one for one in [error, *leaves]}  # by id: a metaclass may refuse to be hashed
    chosen = [policy.for_error(one) for one in asked.values()]
    if any(one is None for one in chosen):
        return None
    # A group's own class asks nothing that its errors do not.
    return max(chosen[1:] or chosen, key=lambda one: one.longest_wait(failures))  # type: ignore[union-attr]
