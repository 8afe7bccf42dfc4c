"""What an attempt's end means: from a result or an exception to an outcome, and from there to the job's next state."""

import asyncio
import traceback
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import RowMapping

from jobs.outcomes import Discard, PartialResult, Retry, Snooze
from jobs.retry import RetryPolicy
from service.ledger.models import Failure, Finish, Started
from service.ledger.states import COUNTS_AS_FAILURE, Outcome, State, state_after
from service.worker.backoff import retry_wait

_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 16_000
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
    failure = None if wanting is None else Failure(type(wanting).__name__, _clean(str(wanting))[:_LONGEST_MESSAGE])
    return Verdict(Outcome.SUCCEEDED, result=result, failure=failure)


def of_error(error: BaseException) -> Verdict:
    """Read what a kind raised."""
    match error:
        case Snooze():
            return Verdict(Outcome.SNOOZED, after=error.after)
        case Discard():
            return Verdict(Outcome.DISCARDED, failure=failure_of(error))
        case Retry():
            return Verdict(Outcome.FAILED, failure=failure_of(error), after=error.after, error=error)
        case asyncio.CancelledError():
            message = "The kind raised CancelledError although nobody had cancelled it."
            return Verdict(Outcome.FAILED, failure=Failure("CancelledError", message), error=error)
        case _:
            return Verdict(Outcome.FAILED, failure=failure_of(error), error=error)


def of_timeout(timeout: timedelta) -> Verdict:
    """An attempt that took too long, whatever it made of its cancellation."""
    message = f"The attempt took longer than its timeout of {timeout.total_seconds():g} s."
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
    last = crashes >= max_crashes
    message = f"{what} That was crash {crashes} of at most {max_crashes}: " if last else f"{what} "
    message += "the job is not tried again." if last else "The job is tried again."
    return Verdict(Outcome.CRASHED, failure=Failure("Crashed", message), final=last)


def failure_of(error: BaseException) -> Failure:
    """Write an exception as text that any database takes: bounded, without NUL, without our own frames."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    trace = "".join(traceback.format_exception(type(error), error, inner))
    message = _clean(_text_of(error))[:_LONGEST_MESSAGE]
    return Failure(type(error).__name__, message, _clean(trace)[-_LONGEST_TRACEBACK:])


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
    """Give the wait before another attempt; None when the policy says never."""
    if verdict.after is not None:
        after = max(timedelta(0), min(verdict.after, _LONGEST_WAIT))
        or_later = isinstance(verdict.error, Retry) and verdict.error.or_later
        return max(after, retry_wait(policy, started.failures)) if or_later else after
    if verdict.error is None or isinstance(verdict.error, Retry):
        chosen: RetryPolicy | None = policy
    else:
        chosen = policy.for_error(verdict.error)
    return None if chosen is None else retry_wait(chosen, started.failures)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - what an author's __str__ raises must not lose the attempt's end
        return f"(its text cannot be told: str() raised {type(problem).__name__})"


def _clean(text: str) -> str:
    """Replace what no database text may hold: NUL, and surrogates that are not UTF-8."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
