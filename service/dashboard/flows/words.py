"""What a flow is doing, and what holds it up, in a sentence. Pure."""

from collections.abc import Sequence
from datetime import datetime

from service.dashboard.text import span_text
from service.insight.words import Time, Words
from service.ledger.reads.flow_graphs import Edge, FlowJob
from service.ledger.reads.flows import FlowCounts
from service.ledger.states import PARENT_FAILED, State
from service.words import counted, listed

# The states worth a clause, in this order.
_TOLD = (State.FAILED, State.RETRYING, State.RUNNING, State.QUEUED, State.SCHEDULED, State.BLOCKED)
_MOST_BLOCKED = 2
_LONGEST_REASON = 100
_TIMES = {1: "once", 2: "twice"}


def name_of(job: FlowJob) -> str:
    """Return a job's name in its flow; a job that joined later goes by its kind."""
    return job.name or job.label


def headline(counts: FlowCounts) -> str:
    """Say how many of its jobs have succeeded or failed."""
    states, total = counts.states, sum(counts.states.values())
    succeeded, failed = states.get(State.SUCCEEDED, 0), states.get(State.FAILED, 0)
    if not total:
        return "None of its jobs is left."
    if total == 1:
        return f"Its one job has {'succeeded' if succeeded else 'failed' if failed else 'not succeeded yet'}."
    if succeeded == total:
        return f"All {total:,} jobs have succeeded."
    told = f"{succeeded:,} of {counted(total, 'job')} {'has' if succeeded == 1 else 'have'} succeeded"
    return f"{failed:,} failed, {told}." if failed else f"{told}."


def reasons(jobs: Sequence[FlowJob], edges: Sequence[Edge], counts: FlowCounts, began: datetime) -> Words:
    """Say what holds the flow up or, when it is over, how long it took. `jobs` are (some of) the jobs that do."""
    if counts.finished_at is not None and counts.state is State.SUCCEEDED:
        return (f" It took {span_text((counts.finished_at - began).total_seconds())}.",)
    words: list[str | Time] = []
    for state in _TOLD:
        of_state = [job for job in jobs if job.state is state]
        if of_state and (clause := _clause(state, of_state, counts.states.get(state, 0), jobs, edges)):
            words += ["; " if words else " ", *clause]
    if gone := sum(job.error_type == PARENT_FAILED for job in jobs):
        who = "it" if gone == 1 else "they"
        cancelled = f"{counted(gone, 'job was', 'jobs were')} cancelled, because {who} needed one that failed"
        words += ["; " if words else " ", cancelled]
    return (*words, ".") if words else ()


def _clause(
    state: State, some_jobs: Sequence[FlowJob], count: int, jobs: Sequence[FlowJob], edges: Sequence[Edge]
) -> tuple[str | Time, ...]:
    names = listed([name_of(job) for job in some_jobs], count)
    first, is_one = some_jobs[0], count == 1
    match state:
        case State.FAILED if is_one:
            return (f"{names} failed{_reason(first)}",)
        case State.FAILED:
            return (f"{names} failed",)
        case State.RETRYING if is_one:
            return f"{names} {_again(first)} ", Time(first.run_at, "in")
        case State.RETRYING:
            return (f"{names} will be tried again",)
        case State.SCHEDULED if is_one:
            return f"{names} is due ", Time(first.run_at, "in")
        case State.SCHEDULED:
            return (f"{names} are not due yet",)
        case State.QUEUED:
            return (f"{names} {'is' if is_one else 'are'} queued",)
        case State.BLOCKED:
            return (_blocked(some_jobs, count, jobs, edges),)
        case _:
            return (f"{names} {'is' if is_one else 'are'} running",)


def _reason(job: FlowJob) -> str:
    reason = " ".join((job.error_message or job.error_type or "").split())
    return f": {reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + '…'}" if reason else ""


def _again(job: FlowJob) -> str:
    if not job.failures:
        return "goes on"
    return f"failed {_TIMES.get(job.failures, f'{job.failures} times')} and will be tried again"


def _blocked(blocked: Sequence[FlowJob], count: int, jobs: Sequence[FlowJob], edges: Sequence[Edge]) -> str:
    """Say what the first blocked jobs wait for: `publish is waiting for thumbnails, report for publish`."""
    names = {job.id: name_of(job) for job in jobs}
    awaited: dict[str, list[str]] = {}
    for edge in edges:
        if edge.state == "open":
            awaited.setdefault(edge.child, []).append(names.get(edge.parent, "a job elsewhere"))
    told: list[str] = []
    for job in blocked[:_MOST_BLOCKED]:
        others = awaited.get(job.id)
        waits = f"for {listed(others, len(others))}" if others else "for others"
        told.append(f"{name_of(job)}{'' if told else ' is waiting'} {waits}")
    left = count - len(told)
    return ", ".join(told) + (f", and {left:,} more" if left > 0 else "")
