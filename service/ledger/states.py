"""States, outcomes, and what follows from an attempt's outcome. Pure: nothing here touches a database.

             enqueue            due+claimed             ok
  scheduled ---------> queued -------------> running ----------> succeeded
      ^  \\               ^  \\                 |  |  \\
      |   \\ cancel       |   \\ cancel         |  |   \\ failures used up, discarded, expired
      |    v             |    v               |  |    v
      |  cancelled       |  cancelled <-------+  |   failed  --replay--> queued (failures and crashes reset)
      |                  |       cancel          |
      |                  +------- retrying <-----+  failed, timed out or snoozed, and may go on (waits for run_at)
      |                  +-----------------------+  crashed or interrupted (worker died, deploy): at once
"""

from enum import StrEnum


class State(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = (State.SCHEDULED, State.QUEUED, State.RETRYING)
LIVE = (*WAITING, State.RUNNING)
TERMINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
# Replaying a succeeded job would repeat an effect that was wanted once: enqueue it anew instead.
REPLAYABLE = (State.FAILED, State.CANCELLED)


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    SNOOZED = "snoozed"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"


COUNTS_AS_FAILURE = (Outcome.FAILED, Outcome.TIMED_OUT)


def state_after(outcome: Outcome, *, failures: int, max_attempts: int, may_retry: bool = True) -> State:
    """Say what a job becomes after an attempt; `failures` includes this one."""
    match outcome:
        case Outcome.SUCCEEDED:
            return State.SUCCEEDED
        case Outcome.CANCELLED:
            return State.CANCELLED
        case Outcome.DISCARDED:
            return State.FAILED
        case Outcome.SNOOZED:
            return State.RETRYING
        case Outcome.INTERRUPTED | Outcome.CRASHED:
            return State.QUEUED
        case Outcome.FAILED | Outcome.TIMED_OUT:
            return State.RETRYING if may_retry and failures < max_attempts else State.FAILED
