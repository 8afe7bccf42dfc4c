"""States, outcomes, and what follows from an attempt's outcome: decided here, and nowhere else. Pure, no database.

             enqueue            due+claimed             ok
  scheduled ---------> queued -------------> running ----------> succeeded
      ^  \\               ^  \\                 |  |  \\
      |   \\ cancel       |   \\ cancel         |  |   \\ failures used up, discarded, expired,
      |    v             |    v               |  |    v   crashed MAX_CRASHES times, lost MAX_LOST times
      |  cancelled       |  cancelled <-------+  |   failed
      |                  |       cancel          |
      |                  +------- retrying <-----+  failed, timed out or snoozed, and may go on (waits for run_at)
      |                  +-----------------------+  crashed or interrupted (worker died, deploy): at once
      |                  +-------- failed, cancelled: a replay, which resets failures and crashes

  blocked -------> queued, scheduled: all edges to it are met (flows)
     ^ |
     | +---------> cancelled: one of them broke, or a user did it
     +------------ cancelled by a broken edge: its parent was replayed

Three counters: `attempt`, which is the fence and only grows; `failures`, against the job's `max_attempts`; `crashes`,
against the setting POSTLUDE_MAX_CRASHES (MAX_CRASHES above). Interrupted and snoozed attempts count as neither.

A job that has one crash left is isolated: it runs in a child process, so that no neighbour of a crash ends with it.

  crashes so far              the next attempt    one more crash
  fewer than MAX_CRASHES - 1  beside others       queued again
  MAX_CRASHES - 1             isolated            failed

What becomes of an attempt when a process dies:

  who died        the attempt                               outcome       counts as
  its worker      had begun in that worker                  crashed       a crash
  its worker      may have waited for a slot (prefetched)   interrupted   nothing; its job is not prefetched again
  its worker      was isolated, or ran in a process         interrupted   a loss: MAX_LOST of them end the job
  its own child   was isolated                              crashed       a crash: the last one
  its own child   ran in a process                          failed        a failure

Attempts of kinds with runs="process" run in a process: its death harms nobody else, and is the kind's own failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Literal

# What a parent must have done before its child may run: succeeded, ended in any way, or been attempted once.
RunWhen = Literal["succeeded", "ended", "attempted"]
# What an edge says about its parent. A broken edge keeps its child from running; a met edge stays met.
EdgeState = Literal["open", "met", "broken"]


class State(StrEnum):
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = (State.SCHEDULED, State.QUEUED, State.RETRYING)
# Become `queued` once they are due.
PROMOTABLE = (State.SCHEDULED, State.RETRYING)
# Not started yet, whatever they wait for. A blocked job is in no lane: it takes its place when it is released.
# In the order of the words in the partial indexes.
UNSTARTED = (State.SCHEDULED, State.BLOCKED, State.QUEUED, State.RETRYING)
LIVE = (*UNSTARTED, State.RUNNING)
IN_TURN = (*WAITING, State.RUNNING)
TERMINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
# Replaying a succeeded job would repeat an effect that was wanted once; enqueue a new job instead.
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


# Python 3.11 takes 0.2 µs to find a member by its name, and what follows from a success is asked six times an attempt.
SUCCESS = Outcome.SUCCEEDED
COUNTS_AS_FAILURE = (Outcome.FAILED, Outcome.TIMED_OUT)
# Outcomes in which something went wrong: such attempts are shown with their error.
FAILS = (*COUNTS_AS_FAILURE, Outcome.DISCARDED, Outcome.CRASHED)
# An isolated attempt that is lost with its worker has not crashed. But an attempt that takes down the whole machine,
# and its worker with it, must end some day.
MAX_LOST = 10
# The error type of an isolated attempt that was lost with its worker.
WORKER_LOST = "WorkerLost"


# The error type of a job that was cancelled because an edge to it broke: the mark of jobs that a replay takes back.
PARENT_FAILED = "ParentFailed"


def edge_state(parent: State, *, has_attempted: bool, run_when: RunWhen) -> EdgeState:
    """Return what an edge says when its parent is in this state.

    `has_attempted`: an attempt of the parent has ended, and not because its worker ended, perhaps before it began.
    """
    if parent not in TERMINAL:
        return "met" if run_when == "attempted" and has_attempted else "open"
    return "met" if parent is State.SUCCEEDED or run_when != "succeeded" else "broken"


def flow_state(counts: Mapping[State, int]) -> State:
    """Return what a flow is, given how many of its jobs are in each state: `running` while any of them is live."""
    if any(counts.get(state) for state in LIVE):
        return State.RUNNING
    return next((state for state in (State.FAILED, State.CANCELLED) if counts.get(state)), State.SUCCEEDED)


def isolated_from(max_crashes: int) -> int:
    """Return how many crashes isolate a job: one fewer than end it."""
    return max(1, max_crashes - 1)


class Loss(Enum):
    """How an attempt that nobody performs any more was lost."""

    HANDED_BACK = "its worker stopped in order, and could not record it"
    WAITED = "its worker died, and it may have waited for a slot there"
    ISOLATED = "its worker died, and it ran in a process of its own"
    CRASHED = "its worker died while it ran there"


def loss_of(*, in_order: bool, prefetched: bool, crashes: int, max_crashes: int, in_process: bool = False) -> Loss:
    """Return how an attempt was lost: it has crashed only if it ran in the process that died.

    `in_process`: its kind runs in child processes.
    """
    if in_order:
        return Loss.HANDED_BACK
    if prefetched:
        return Loss.WAITED
    return Loss.ISOLATED if in_process or crashes >= isolated_from(max_crashes) else Loss.CRASHED


def state_when_moved(state: State, *, is_due: bool) -> State:
    """Return the state of an unstarted job after a change of its time."""
    if state is State.BLOCKED:
        return state
    if is_due:
        return State.QUEUED
    return state if state in PROMOTABLE else State.SCHEDULED


def state_after_crash(crashes: int, max_crashes: int) -> State:
    """Return a job's state after a crash; `crashes` includes this one."""
    return State.FAILED if crashes >= max_crashes else State.QUEUED


def state_after_isolated_loss(losses: int) -> State:
    """Return an isolated job's state after its worker died; `losses` since its latest crash includes this one."""
    return State.FAILED if losses >= MAX_LOST else State.QUEUED


def state_after(outcome: Outcome, *, failures: int, max_attempts: int, may_retry: bool = True) -> State:
    """Return a job's state after an attempt; `failures` includes this one."""
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


@dataclass(slots=True)
class Counts:
    """What counts against a job, recounted from its attempts, first to last."""

    failures: int = 0
    crashes: int = 0
    losses: int = 0

    def end(self, outcome: Outcome, error_type: str | None, *, max_attempts: int, max_crashes: int) -> State:
        """Count an ended attempt; return the job's state after it.

        Attempts after the job's own end belong to a replay, so counting restarts.
        """
        state = self._count(outcome, error_type, max_attempts, max_crashes)
        if state in TERMINAL:
            self.failures = self.crashes = self.losses = 0
        return state

    def _count(self, outcome: Outcome, error_type: str | None, max_attempts: int, max_crashes: int) -> State:
        if outcome is Outcome.CRASHED:
            self.crashes, self.losses = self.crashes + 1, 0
            return state_after_crash(self.crashes, max_crashes)
        if outcome is Outcome.INTERRUPTED and error_type == WORKER_LOST:
            self.losses += 1
            return state_after_isolated_loss(self.losses)
        self.failures += outcome in COUNTS_AS_FAILURE
        return state_after(outcome, failures=self.failures, max_attempts=max_attempts)
