"""An attempt's finish: from its outcome to its job's next state, and when the job runs again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from jobs.kit.outcomes import Retry, Snooze
from jobs.kit.retry import RetryPolicy
from service import logs
from service.lane_rules import counted_as
from service.ledger.fingerprint import fingerprint_of
from service.ledger.models import Finish, Started
from service.ledger.states import COUNTS_AS_FAILURE, FAILS, SUCCESS, Outcome, State, state_after
from service.own_retry import OwnRetry
from service.worker.backoff import retry_wait
from service.worker.performing.failure import is_instance, leaves_of, type_name
from service.worker.performing.outcome import LONGEST_WAIT, AttemptOutcome

log = structlog.get_logger(__name__)

_SUCCEEDED = State.SUCCEEDED
_OF_NO_FAILURE = tuple(Finish._field_defaults[name] for name in Finish._fields[Finish._fields.index("failure") + 1 :])


def finish_of(started: Started, ended: AttemptOutcome, policy: RetryPolicy, at: datetime) -> Finish:
    """Decide the job's next state after this attempt, and when it runs again."""
    if ended.outcome is SUCCESS:
        names = (started.id, started.counted_as, started.attempt, started.worker)
        told = (SUCCESS, _SUCCEEDED, at, 0, 0, None, ended.result, ended.failure)
        return tuple.__new__(Finish, (*names, *told, *_OF_NO_FAILURE))  # takes a third of the time of `Finish(...)`
    failures = int(ended.outcome in COUNTS_AS_FAILURE)
    wait = _wait(started, ended, policy)
    if wait is not None and failures and started.retry_until is not None and at + wait > started.retry_until:
        wait = None
    state = state_after(
        ended.outcome,
        failures=started.failures + failures,
        max_attempts=started.max_attempts,
        may_retry=wait is not None,
    )
    state = State.FAILED if ended.final else state
    return Finish(
        id=started.id,
        kind=started.counted_as,
        attempt=started.attempt,
        worker=started.worker,
        outcome=ended.outcome,
        state=state,
        at=at,
        failures=failures,
        crashes=int(ended.outcome is Outcome.CRASHED),
        run_at=at + wait if state is State.RETRYING and wait is not None else None,
        result=ended.result,
        failure=ended.failure,
        answered=ended.sign.answered,
        hold_lane=ended.sign.hold,
        fingerprint=_fingerprint(started.counted_as, ended, state),
        destination=started.kind_lane,
    )


def finish_of_lost(running: Mapping[Any, Any], ended: AttemptOutcome, by: str, at: datetime) -> Finish:
    """End an attempt that nobody performs any more, and that is known only from its row; its job is queued at once."""
    state, kind = State.FAILED if ended.final else State.QUEUED, counted_as(running["kind"], running["lane_limits"])
    return Finish(
        id=running["id"],
        kind=kind,
        attempt=running["attempt"],
        worker=by,
        outcome=ended.outcome,
        state=state,
        at=at,
        crashes=int(ended.outcome is Outcome.CRASHED),
        failure=ended.failure,
        fingerprint=_fingerprint(kind, ended, state),
        destination=running["kind_lane"],
    )


def _fingerprint(kind: str, ended: AttemptOutcome, state: State) -> str | None:
    """Name the group of an attempt's failure; None if it did not fail."""
    is_failure = ended.outcome in FAILS or state is State.FAILED
    return fingerprint_of(kind, ended.failure) if is_failure and ended.failure is not None else None


def _wait(started: Started, ended: AttemptOutcome, policy: RetryPolicy) -> timedelta | None:
    """Return the wait before another attempt; None when the policy says never. Never raises."""
    try:
        chosen = policy if ended.error is None else _policy_for(ended.error, policy, started.failures)
        if chosen is not None and started.retry is not None:
            chosen = policy_of(started.retry, chosen)
        if chosen is None or (ended.after is not None and not _or_later(ended.error)):
            return None if chosen is None else ended.after
        return max(ended.after or timedelta(0), min(retry_wait(chosen, started.failures), LONGEST_WAIT))
    except BaseException as problem:  # noqa: BLE001 - a policy may run an author's code
        names = {"job_id": started.id, "kind": started.kind, "error": type_name(problem)}
        logs.surely(log.error, "retry_policy_failed", remedy="the default policy is used instead", **names)
        return retry_wait(RetryPolicy(), started.failures)


def policy_of(own: OwnRetry, kinds: RetryPolicy) -> RetryPolicy:
    """Return the policy with the job's own waits; its kind's policy if it has none."""
    said = {name: value for name, value in own._asdict().items() if value is not None and name != "max_duration"}
    return RetryPolicy(**said) if said else kinds


def _or_later(error: BaseException | None) -> bool:
    """Whether a `Retry` asks for the longer of its own wait and the policy's."""
    return error is not None and any(is_instance(one, Retry) and one.or_later for one in leaves_of(error))  # type: ignore[attr-defined]


def _policy_for(error: BaseException, policy: RetryPolicy, failures: int) -> RetryPolicy | None:
    """Choose a policy for a group of errors: none if one of them forbids retries, otherwise the one with the longest
    wait.

    A `Retry` asks for another attempt whatever `never` says, but it does not override other errors in the group.
    """
    leaves = [one for one in leaves_of(error) if not is_instance(one, Retry, Snooze)]
    if not leaves:
        return policy
    asked = {id(type(one)): one for one in [error, *leaves]}  # by id: a metaclass may refuse to be hashed
    chosen = [policy.for_error(one) for one in asked.values()]
    if any(one is None for one in chosen):
        return None
    # A group's own class asks for nothing beyond its errors.
    return max(chosen[1:] or chosen, key=lambda one: one.longest_wait(failures))  # type: ignore[union-attr]
