"""What the log says about an attempt's end: a warning if the job goes on, one error if it has failed for good."""

import structlog

from service import logs
from service.ledger.models import Finish, Finished
from service.ledger.states import Outcome, State

log = structlog.get_logger(__name__)

_QUIET = (Outcome.SUCCEEDED, Outcome.SNOOZED)


def is_quiet(finish: Finish, finished: Finished | None) -> bool:
    """Whether there is nothing to say above DEBUG."""
    return finished is not None and finish.outcome in _QUIET


def tell_end(finish: Finish, finished: Finished | None, *, rescued: bool = False) -> None:
    """Log how an attempt ended, and what was recorded (None: the attempt had been taken away). Never raises."""
    names = {"job_id": finish.id, "kind": finish.kind, "attempt": finish.attempt, "outcome": str(finish.outcome)}
    if finish.failure is not None:
        names |= {"error": finish.failure.type, "error_message": finish.failure.message}
    if finished is None:
        logs.surely(log.warning, "finish_refused", reason="the attempt was taken from this worker", **names)
    elif finished.state is State.FAILED:
        # structlog's renderers expect a traceback that is already text in `exception`.
        trace = {"exception": finish.failure.traceback} if finish.failure and finish.failure.traceback else {}
        logs.surely(log.error, "job_failed", **names, **trace)
    else:
        say = log.debug if finish.outcome in _QUIET else log.warning
        logs.surely(say, "job_rescued" if rescued else "attempt_ended", state=str(finished.state), **names)
