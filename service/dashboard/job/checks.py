"""Every precondition of a job that has not started, with its fact, in the order in which the engine checks them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from service.lanes.lanes import Lanes
from service.lanes.reasons import LaneNow, Reason, Why, lanes_of
from service.ledger.ledger import Ledger
from service.ledger.reads.in_full import count_ahead, count_running_on
from service.ledger.reads.worker_views import WorkerState, WorkerView, list_workers
from service.ledger.states import State
from service.words import counted

Row = Mapping[Any, Any]
Tone = Literal["fine", "note", "warning", "wrong"]

MOST_AHEAD = 10_000


class At(NamedTuple):
    """A moment in a sentence; `shown` is the macro that shows it: clock, until or age."""

    moment: datetime
    shown: Literal["clock", "until", "age"]


Part = str | At


class Check(NamedTuple):
    tone: Tone
    text: str
    fact: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What else there is to know. `ahead` counts the jobs ahead of it in its lane; None: it is in no lane."""

    workers: Sequence[WorkerView]
    running_on_queue: int
    ahead: int | None
    lanes: Mapping[str, LaneNow]


async def read_facts(ledger: Ledger, lanes: Lanes, job: Row, reasons: Sequence[Reason], now: datetime) -> Facts:
    keys = lanes_of(job)
    held = next((reason.name for reason in reasons if reason.name in keys), keys[0] if keys else None)
    async with ledger.read() as connection:
        workers = [one for one in await list_workers(connection, now) if one.state is WorkerState.ALIVE]
        running = await count_running_on(connection, job["queue"])
        ahead = None
        if held is not None and job["lane_seq"] is not None:
            ahead = await count_ahead(connection, held, job["lane_seq"], now, MOST_AHEAD)
    return Facts(workers, running, ahead, await lanes.waiting_for.lanes_now(set(keys)))


def checks_of(job: Row, reasons: Sequence[Reason], facts: Facts, now: datetime) -> list[Check]:
    """Return everything that a job needs to run, whether it has it, and how that is known."""
    found = {reason.why: reason for reason in reversed(reasons)}
    return [
        _due(job, now),
        _others(job, found),
        _unique(job),
        _queue(job, found, facts),
        _kind(job, found),
        *_workers(job, facts),
        *(_lane(key, reasons, facts) for key in lanes_of(job)),
        *_slots(job, found, facts),
    ]


def tone_of(reason: Reason) -> Tone:
    """Say how much a reason matters: waiting for a time or a turn is not a trouble."""
    if reason.why in (Why.NO_WORKER, Why.NO_WORKER_OF_QUEUE, Why.NO_WORKER_OF_KIND):
        return "wrong"
    return "warning" if reason.why in _HELD else "note"


_HELD = (
    Why.QUEUE_PAUSED,
    Why.KIND_PAUSED,
    Why.REDIS_AWAY,
    Why.LANES_REBUILT,
    Why.LANE_PAUSED,
    Why.BREAKER_FORCED,
    Why.BREAKER_OPEN,
    Why.BREAKER_TRIES,
)


def _due(job: Row, now: datetime) -> Check:
    run_at: datetime = job["run_at"]
    if run_at > now:
        return Check("note", "It is due later.", ["at ", At(run_at, "clock"), ", ", At(run_at, "until")])
    return Check("fine", "It is due.", ["since ", At(run_at, "clock"), ", ", At(run_at, "age")])


def _others(job: Row, found: Mapping[Why, Reason]) -> Check:
    if (reason := found.get(Why.OTHER_JOBS)) is not None:
        return Check("note", "It waits for other jobs.", [reason.sentence])
    if job["state"] == State.BLOCKED or job["blocked_by"] is None:
        return Check("fine", "It waits for no other job.")
    return Check("fine", "It waits for no other job.", ["the jobs that it came after ended as it needs"])


def _unique(job: Row) -> Check:
    if job["unique_key"] is None:
        return Check("fine", "It has no unique key.")
    return Check("fine", "It holds its unique key.", [f"no other live job has {job['unique_key']}"])


def _queue(job: Row, found: Mapping[Why, Reason], facts: Facts) -> Check:
    queue = job["queue"]
    if (reason := found.get(Why.QUEUE_PAUSED)) is not None:
        return Check("warning", "Its queue is paused.", [queue, *_paused(reason)])
    return Check("fine", "Its queue is not paused.", [f"{queue}, {facts.running_on_queue:,} running"])


def _kind(job: Row, found: Mapping[Why, Reason]) -> Check:
    if (reason := found.get(Why.KIND_PAUSED)) is not None:
        return Check("warning", "Its kind is paused.", [reason.name or "", *_paused(reason)])
    return Check("fine", "Its kind is not paused.", [job["label"] or job["kind"]])


def _paused(reason: Reason) -> Iterator[Part]:
    if reason.since is not None:
        yield from (", since ", At(reason.since, "clock"))
    if reason.until is None:
        yield ", until somebody resumes it"
    else:
        yield from (", until ", At(reason.until, "clock"), ", ", At(reason.until, "until"))


def _workers(job: Row, facts: Facts) -> list[Check]:
    queue, kind = job["queue"], job["kind"]
    if not facts.workers:
        return [Check("wrong", "No worker is alive.", ["none of them has been heard from for 20 s"])]
    every = len(facts.workers)
    work = sum(queue in one.queues for one in facts.workers)
    know = sum(kind in one.kinds for one in facts.workers)
    on_queue = [f"{work} of {every} {'serves' if work == 1 else 'serve'} {queue}"]
    of_kind = [f"{know} of {every} {'knows' if know == 1 else 'know'} {kind}"]
    return [
        Check("fine", "Living workers serve its queue.", on_queue)
        if work
        else Check("wrong", "No living worker serves its queue.", on_queue),
        Check("fine", "Living workers know its kind.", of_kind)
        if know
        else Check("wrong", "No living worker knows its kind.", of_kind),
    ]


def _lane(key: str, reasons: Sequence[Reason], facts: Facts) -> Check:
    reason = next((one for one in reasons if one.name == key and one.why in OF_LANES), None)
    if reason is None:
        return Check("fine", "Its lane is ready.", [key, *_runs(facts.lanes.get(key))])
    text = OF_LANES[reason.why]
    if reason.why in (Why.LANE_PAUSED, Why.BREAKER_OPEN):
        when = _paused(reason) if reason.why is Why.LANE_PAUSED else _probe(reason)
        return Check("warning", text, [key, *when])
    return Check(tone_of(reason), text, [key, *_turn(reason, facts.lanes.get(key))])


OF_LANES: Mapping[Why, str] = {
    Why.REDIS_AWAY: "Redis does not answer.",
    Why.LANES_REBUILT: "Lanes are being rebuilt.",
    Why.LANE_PAUSED: "Its lane is paused.",
    Why.BREAKER_FORCED: "Its lane is held by its breaker.",
    Why.BREAKER_OPEN: "Its lane is held by its breaker.",
    Why.BREAKER_TRIES: "Its lane is trying one job first.",
    Why.LANE_IN_ORDER: "It is not its turn in its lane.",
    Why.LANE_FULL: "Its lane is full.",
    Why.LANE_RATE: "Its lane has used up its rate.",
}


def _runs(lane: LaneNow | None) -> Iterator[Part]:
    if lane is not None and lane.state is not None:
        most = "" if lane.state.concurrency is None else f" of at most {lane.state.concurrency:,}"
        yield f", {lane.state.running:,}{most} running"


def _probe(reason: Reason) -> Iterator[Part]:
    if reason.until is not None:
        yield from (", next probe ", At(reason.until, "clock"), ", ", At(reason.until, "until"))
    if reason.told:
        yield f"; the last failure: {reason.told}"


def _turn(reason: Reason, lane: LaneNow | None) -> Iterator[Part]:
    match reason.why:
        case Why.BREAKER_FORCED:
            yield ", forced open by a user"
        case Why.BREAKER_TRIES if reason.told:
            yield f"; the last failure: {reason.told}"
        case Why.LANE_IN_ORDER:
            yield f", in strict order; job {reason.told} is first"
        case Why.LANE_RATE if lane is not None and lane.state is not None and lane.state.rate is not None:
            limit, per_s = lane.state.rate
            yield f", {limit:,} in {per_s:g} s"
            if reason.until is not None:
                yield from ("; the next ", At(reason.until, "until"))
        case _:
            yield from _runs(lane)


def _slots(job: Row, found: Mapping[Why, Reason], facts: Facts) -> Iterator[Check]:
    able = [one for one in facts.workers if job["queue"] in one.queues and job["kind"] in one.kinds]
    slots = [one for one in able if one.slots is not None]
    if not slots:
        return
    every = sum(one.slots or 0 for one in slots)
    free = sum(max((one.slots or 0) - one.running, 0) for one in slots)
    fact = [f"{free:,} of {counted(every, 'slot')} {'is' if free == 1 else 'are'} free"]
    if not free:
        yield Check("note", "All slots of its workers are taken.", fact)
    elif (share := found.get(Why.LANE_SHARE)) is not None:
        yield Check("note", "Its lane has its share of the slots.", [share.name or "", ", at most a quarter"])
    else:
        yield Check("fine", "Workers have free slots.", fact)
