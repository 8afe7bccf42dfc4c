"""Every reason why a job does not run, in the order in which the engine checks: a sentence and its facts. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from service.lane_rules import in_order
from service.lanes.notices import moment
from service.lanes.outlook import Overview
from service.ledger.reads.flows import Parent
from service.queue import LaneState

_TO = {"succeeded": "to succeed", "ended": "to end", "attempted": "to be attempted"}


class Why(StrEnum):
    """A sort of reason."""

    DUE_LATER = "due later"
    OTHER_JOBS = "other jobs"
    QUEUE_PAUSED = "queue paused"
    KIND_PAUSED = "kind paused"
    NO_WORKER = "no worker"
    NO_WORKER_OF_QUEUE = "no worker of its queue"
    NO_WORKER_OF_KIND = "no worker of its kind"
    REDIS_AWAY = "redis away"
    LANES_REBUILT = "lanes rebuilt"
    LANE_PAUSED = "lane paused"
    BREAKER_FORCED = "breaker forced open"
    BREAKER_OPEN = "breaker open"
    BREAKER_TRIES = "breaker tries"
    LANE_IN_ORDER = "lane in order"
    LANE_FULL = "lane full"
    LANE_RATE = "lane rate"
    LANE_SHARE = "lane share"
    NO_SLOT = "no slot"


class Reason(NamedTuple):
    """Why a job waits. `name` is the lane, queue, kind or job that it waits for; `until` when that may change."""

    why: Why
    sentence: str
    name: str | None = None
    until: datetime | None = None
    # For a pause: since when. For a breaker: the destination's last answer.
    since: datetime | None = None
    told: str | None = None


A_FREE_SLOT = Reason(Why.NO_SLOT, "a free slot")


class LaneNow(NamedTuple):
    """A lane as Redis has it, None if it does not answer; and the first job of a lane in strict order."""

    state: LaneState | None = None
    is_built: bool = False
    first: str | None = None


def lanes_of(job: Mapping[Any, Any]) -> tuple[str, ...]:
    return in_order(job["lane"], job["kind_lane"])


def reasons(
    job: Mapping[Any, Any], overview: Overview, lanes: Mapping[str, LaneNow], now: datetime
) -> Iterator[Reason]:
    """Yield what holds a waiting job back: pauses, which last until somebody acts, before limits, which pass."""
    if job["run_at"] > now:
        yield due_later(job["run_at"])
    yield from nothing_runs(job["kind"], job["label"], job["queue"], overview, now)
    held = (held_by(key, lanes[key], job["id"]) for key in lanes_of(job))
    yield from (reason for reason in held if reason)


def other_jobs(count: int | None, first: Parent | None) -> Reason:
    """Say which jobs a blocked one comes after."""
    if first is None:
        return Reason(Why.OTHER_JOBS, "the jobs that it comes after have ended as it needs: it follows in a moment")
    named = f"job {first.id}" + (f" ({first.kind})" if first.kind else "")
    if count is None or count < 2:
        return Reason(Why.OTHER_JOBS, f"{named} {_TO[first.run_when]}", first.id, told=_TO[first.run_when])
    several = f"{count} jobs, first {named}, {_TO[first.run_when]}"
    return Reason(Why.OTHER_JOBS, several, first.id, told=_TO[first.run_when])


def due_later(run_at: datetime) -> Reason:
    return Reason(Why.DUE_LATER, f"it is due at {moment(run_at)}", until=run_at)


def nothing_runs(kind: str, label: str | None, queue: str, overview: Overview, now: datetime) -> Iterator[Reason]:
    """Say why no job of this kind runs on this queue: it is paused, or no worker serves it."""
    if overview.paused:
        yield from _paused(kind, label, queue, overview, now)
    if not overview.queues:
        yield Reason(Why.NO_WORKER, "every living worker is draining" if overview.drained else "no worker is alive")
        return
    none = "no worker that takes new jobs" if overview.drained else "no worker is alive that"
    if queue not in overview.queues:
        yield Reason(Why.NO_WORKER_OF_QUEUE, f"{none} serves the queue {queue}", queue)
    if kind not in overview.kinds:
        yield Reason(Why.NO_WORKER_OF_KIND, f"{none} knows the kind {kind}", kind)


def _paused(kind: str, label: str | None, queue: str, overview: Overview, now: datetime) -> Iterator[Reason]:
    for what, name, why in (
        ("queue", queue, Why.QUEUE_PAUSED),
        ("kind", kind, Why.KIND_PAUSED),
        ("kind", label, Why.KIND_PAUSED),
    ):
        if name is not None and (pause := overview.pause_of(f"{what}:{name}", now)) is not None:
            sentence = f"its {what} {name} is paused{_until(pause.paused_until)}"
            yield Reason(why, sentence, name, pause.paused_until, pause.updated_at)


def held_by(key: str, lane: LaneNow, job_id: str) -> Reason | None:
    """Say what its lane waits for, if it is not this job's turn."""
    state = lane.state
    if state is None:
        return Reason(Why.REDIS_AWAY, f"Redis does not answer: it keeps the limits of its lane {key}", key)
    if not lane.is_built:
        return Reason(Why.LANES_REBUILT, "lanes are being rebuilt from the ledger, since Redis has started anew", key)
    if state.paused:
        sentence = f"its lane {key} is paused{_until(state.paused_until)}"
        return Reason(Why.LANE_PAUSED, sentence, key, state.paused_until)
    if (broken := _breaker(key, state)) is not None:
        return broken
    if lane.first is not None and lane.first != job_id:
        sentence = f"its lane {key} is in strict order and waits for job {lane.first}"
        return Reason(Why.LANE_IN_ORDER, sentence, key, told=lane.first)
    return _limit(key, state)


def _limit(key: str, state: LaneState) -> Reason | None:
    if state.concurrency is not None and state.running >= state.concurrency:
        return Reason(Why.LANE_FULL, f"its lane {key} runs {state.running} of at most {state.concurrency}", key)
    if state.rate is not None and state.tokens is not None and state.tokens < 1:
        limit, per_s = state.rate
        following = f"; the next at {moment(state.opens_at)}" if state.opens_at is not None else ""
        sentence = f"its lane {key} may start {limit} in {per_s:g} s{following}"
        return Reason(Why.LANE_RATE, sentence, key, state.opens_at)
    if state.is_shared and state.concurrency is None and state.running:
        share = f"its lane {key} runs {state.running}, and may take at most a quarter of a worker's slots"
        return Reason(Why.LANE_SHARE, f"{A_FREE_SLOT.sentence}; {share}", key)
    return None


def _breaker(key: str, state: LaneState) -> Reason | None:
    told = state.breaker_reason
    if state.breaker_forced == "open":
        return Reason(Why.BREAKER_FORCED, f"the breaker of {key} is forced open", key)
    if state.breaker_forced is None and state.breaker == "open":
        sentence = f"the breaker of {key} is open{_until(state.breaker_until)}{_last_failure(told)}"
        return Reason(Why.BREAKER_OPEN, sentence, key, state.breaker_until, told=told)
    if state.breaker_forced is None and state.breaker == "half_open" and state.running:
        sentence = f"the breaker of {key} waits for the end of one probe job{_last_failure(told)}"
        return Reason(Why.BREAKER_TRIES, sentence, key, told=told)
    return None


def _last_failure(told: str | None) -> str:
    return f"; the last failure: {told}" if told else ""


def _until(until: datetime | None) -> str:
    return "" if until is None else f" until {moment(until)}"
