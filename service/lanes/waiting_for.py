"""Says in one sentence why a job does not run, with the reason and the time."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping

from service import agreed_time
from service.lane_rules import in_order
from service.lanes.notices import moment
from service.lanes.outlook import Outlook, Overview
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob
from service.ledger.reads.flows import Parent, open_parents
from service.ledger.reads.lanes import first_in_lanes
from service.ledger.states import WAITING, State
from service.queue import UNREACHABLE, LaneState, Queue
from service.shared_reads import SharedReads

# A lane's state may change with every claim.
_LANES_FRESH_FOR_S = 0.2
_REDIS_WITHIN_S = 1.0
_A_FREE_SLOT = "a free slot"
_TO = {"succeeded": "to succeed", "ended": "to end", "attempted": "to be attempted"}


class _Lane(NamedTuple):
    """A lane as Redis has it, None where it does not answer; and the first job of one in strict order."""

    state: LaneState | None = None
    is_built: bool = False
    first: str | None = None


class WaitingFor:
    """Knows why jobs wait. Whoever asks at the same moment shares the reads; a job without lanes takes none but one."""

    def __init__(self, ledger: Ledger, queue: Queue, outlook: Outlook) -> None:
        self._ledger = ledger
        self._queue = queue
        self._outlook = outlook
        self._lanes = SharedReads(lambda names: in_time(self._read_lanes(names)), fresh_for_s=_LANES_FRESH_FOR_S)
        self._parents = SharedReads(lambda ids: in_time(self._read_parents(ids)), fresh_for_s=0)

    async def of(self, jobs: Sequence[RowMapping]) -> list[str | None]:
        """Return a sentence for each job that waits, None for the others. Raises `LedgerUnavailable`."""
        waiting = [job for job in jobs if job["state"] in WAITING]
        blocked = [job for job in jobs if job["state"] == State.BLOCKED]
        reasons = await self._of_blocked(blocked) if blocked else {}
        reasons |= await self._of_waiting(waiting) if waiting else {}
        return [reasons.get(job["id"]) for job in jobs]

    async def _of_blocked(self, blocked: Sequence[RowMapping]) -> dict[str, str]:
        parents = await self._parents.of(job["id"] for job in blocked)
        return {job["id"]: _before(job["blocked_by"], parents[job["id"]]) for job in blocked}

    async def _of_waiting(self, waiting: Sequence[RowMapping]) -> dict[str, str]:
        overview = await self._outlook.overview()
        keys = {key for job in waiting for key in _lanes_of(job)}
        lanes = await self._lanes.of(keys) if keys else {}
        now = agreed_time.now()
        return {job["id"]: _reason(job, overview, lanes, now) for job in waiting}

    def of_new(self, job: NewJob) -> str | None:
        """Return the sentence for a job that was just accepted, at once: None unless it is known without a look."""
        if job.state is State.SCHEDULED:
            return _due(job.run_at)
        overview = self._outlook.glance()
        if overview is None or job.state is not State.QUEUED:
            return None
        nothing = _nothing_runs(job.kind, job.label, job.queue, overview, job.run_at)
        return nothing or (None if job.lanes else _A_FREE_SLOT)

    def forget(self) -> None:
        """Ask anew: lanes have changed."""
        self._lanes.forget()

    async def _read_parents(self, ids: Sequence[str]) -> Mapping[str, Parent | None]:
        async with self._ledger.read() as connection:
            found = await open_parents(connection, ids)
        return {job_id: found.get(job_id) for job_id in ids}

    async def _read_lanes(self, keys: Sequence[str]) -> Mapping[str, _Lane]:
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                states = await self._queue.lanes.states(keys)
                is_built = await self._queue.lanes.built_epoch() is not None
        except UNREACHABLE:
            return dict.fromkeys(keys, _Lane())
        strict = [key for key in keys if states[key].strict]
        firsts: Mapping[str, str] = {}
        if strict:
            async with self._ledger.read() as connection:
                firsts = await first_in_lanes(connection, strict)
        return {key: _Lane(states[key], is_built, firsts.get(key)) for key in keys}


def _lanes_of(job: RowMapping) -> tuple[str, ...]:
    return in_order(job["lane"], job["kind_lane"])


def _reason(job: RowMapping, overview: Overview, lanes: Mapping[str, _Lane], now: datetime) -> str:
    """Return the first that holds: a pause lasts until somebody acts, a limit until others are done."""
    if job["run_at"] > now:
        return _due(job["run_at"])
    if (nothing := _nothing_runs(job["kind"], job["label"], job["queue"], overview, now)) is not None:
        return nothing
    held = (_held_by(key, lanes[key], job["id"]) for key in _lanes_of(job))
    return next((reason for reason in held if reason), _A_FREE_SLOT)


def _before(count: int | None, first: Parent | None) -> str:
    """Say which jobs a blocked one comes after."""
    if first is None:
        return "the jobs that it comes after have come to what it needs: it follows in a moment"
    named = f"job {first.id}" + (f" ({first.kind})" if first.kind else "")
    if count is None or count < 2:
        return f"{named} {_TO[first.run_when]}"
    return f"{count} jobs, first {named}, {_TO[first.run_when]}"


def _due(run_at: datetime) -> str:
    return f"it is due at {moment(run_at)}"


def _nothing_runs(kind: str, label: str | None, queue: str, overview: Overview, now: datetime) -> str | None:
    """Say why no job of this kind runs on this queue: somebody has paused it, or nobody works it."""
    for what, name in (("queue", queue), ("kind", kind), ("kind", label)):
        if name is not None and (pause := overview.pause_of(f"{what}:{name}", now)) is not None:
            return f"its {what} {name} is paused{_until(pause.paused_until)}"
    if not overview.queues:
        return "no worker is alive"
    if queue not in overview.queues:
        return f"no worker is alive that works the queue {queue}"
    if kind not in overview.kinds:
        return f"no worker is alive that knows the kind {kind}"
    return None


def _held_by(key: str, lane: _Lane, job_id: str) -> str | None:
    """Say what its lane waits for, if it is not this job's turn."""
    state = lane.state
    if state is None:
        return f"Redis does not answer: it keeps the limits of its lane {key}"
    if not lane.is_built:
        return "lanes are being rebuilt from the ledger, since Redis has begun anew"
    if state.paused:
        return f"its lane {key} is paused{_until(state.paused_until)}"
    if (broken := _breaker(key, state)) is not None:
        return broken
    if lane.first is not None and lane.first != job_id:
        return f"its lane {key} is in strict order and waits for job {lane.first}"
    if state.concurrency is not None and state.running >= state.concurrency:
        return f"its lane {key} runs {state.running} of at most {state.concurrency}"
    if state.rate is not None and state.tokens is not None and state.tokens < 1:
        limit, per_s = state.rate
        following = f"; the next at {moment(state.opens_at)}" if state.opens_at is not None else ""
        return f"its lane {key} may start {limit} in {per_s:g} s{following}"
    if state.is_shared and state.concurrency is None and state.running:
        return f"a free slot; its lane {key} runs {state.running}, and takes a quarter of a worker's slots at most"
    return None


def _breaker(key: str, state: LaneState) -> str | None:
    if state.breaker_forced == "open":
        return f"the breaker of {key} is forced open"
    if state.breaker_forced is None and state.breaker == "open":
        return f"the breaker of {key} is open{_until(state.breaker_until)}{_last_failure(state)}"
    if state.breaker_forced is None and state.breaker == "half_open" and state.running:
        return f"the breaker of {key} waits for the end of one job that tries{_last_failure(state)}"
    return None


def _last_failure(state: LaneState) -> str:
    return f"; the last failure: {state.breaker_reason}" if state.breaker_reason else ""


def _until(until: datetime | None) -> str:
    return "" if until is None else f" until {moment(until)}"
