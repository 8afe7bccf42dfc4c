"""The verdict on flows: order, states, callbacks, steps and changes, by the ledger and by the side effects."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import from_json
from sqlalchemy import RowMapping, select

from service.flow_tables import callback_jobs
from service.ledger.reads import jobs as queries
from service.ledger.states import PARENT_FAILED, Outcome, State
from service.tables import jobs
from tests.faults.flow_plans import CHANGED, FlowPlan, JobPlan
from tests.faults.system import System

# Processes agree on the time by the database's clock; a request there and back is what they may be off by.
CLOCKS_AGREE_WITHIN = timedelta(seconds=0.5)
_PIECE = 500
_MAY_RUN_AGAIN_AFTER = {Outcome.CRASHED, Outcome.INTERRUPTED}


@dataclass(frozen=True)
class Found:
    """What the ledger has of flows: their jobs, the attempts, and the jobs of callbacks by owner and event."""

    rows: Mapping[str, RowMapping]
    attempts: Mapping[str, Sequence[RowMapping]]
    called: Mapping[tuple[str, str], Sequence[str]]


async def wrong_flows(system: System, plans: Sequence[FlowPlan]) -> list[str]:
    """Say what is wrong with flows whose jobs have all ended, and whose plans have been settled."""
    if not plans:
        return []
    found = await _read(system, plans)
    steps = _steps_in(system)
    wrong = [f"flow {plan.id}: {what}" for plan in plans for what in _wrong_with(plan, found, steps)]
    return wrong + await _wrong_calls(system, plans, found)


def _wrong_with(plan: FlowPlan, found: Found, steps: Mapping[str, Mapping[int, list[int]]]) -> Iterator[str]:
    for job in plan.jobs:
        job_id = plan.ids[job.name]
        if job_id not in found.rows:
            yield f"{job_id}: no row"
            continue
        row, tried = found.rows[job_id], found.attempts[job_id]
        told = [*_wrong_end(plan, job, row, tried), *_wrong_steps(job, row, tried, steps.get(job_id, {}))]
        if tried:
            told += _too_early(plan, job, tried, found)
        if row["state"] == State.SUCCEEDED:
            told += _wrong_result(plan, job, row, found)
        yield from (f"{job.name} ({job_id}): {what}" for what in told)


def _wrong_end(plan: FlowPlan, job: JobPlan, row: RowMapping, tried: Sequence[RowMapping]) -> Iterator[str]:
    must = plan.ends[job.name][-1]
    outcomes = [attempt["outcome"] for attempt in tried]
    if row["state"] != must:
        yield f"ended {row['state']} ({row['error_type']}: {row['error_message']}) and not {must}, after {outcomes}"
    if row["state"] == State.CANCELLED and row["error_type"] != PARENT_FAILED:
        yield f"cancelled for {row['error_type']}"
    if [attempt["number"] for attempt in tried] != list(range(1, row["attempt"] + 1)) or None in outcomes:
        yield f"the job counts {row['attempt']} attempts, there are {outcomes}"
    if outcomes.count(Outcome.SUCCEEDED) != (must is State.SUCCEEDED):
        yield f"{row['state']} with the outcomes {outcomes}"
    failed = plan.ends[job.name].count(State.FAILED)
    if outcomes.count(Outcome.DISCARDED) != failed:
        yield f"must have failed {failed} times, and has {outcomes}"


def _too_early(plan: FlowPlan, job: JobPlan, tried: Sequence[RowMapping], found: Found) -> Iterator[str]:
    """Judge the first attempt: it came after what the job needed."""
    began = tried[0]["started_at"]
    for parent in job.after:
        if job.run_when != "succeeded" and State.CANCELLED in plan.ends[parent]:
            continue  # that was an end, which has no attempt; replayed, the parent ran afterwards
        before = found.attempts.get(plan.ids[parent], ())
        over = [one["finished_at"] for one in before if _ends(one) or (job.run_when == "attempted" and _ran(one))]
        if job.run_when == "succeeded":
            over = [one["finished_at"] for one in before if one["outcome"] == Outcome.SUCCEEDED]
        if over and began < min(over) - CLOCKS_AGREE_WITHIN:
            yield f"began at {began}, and {parent} was over at {min(over)}"
        if not over and job.run_when == "succeeded":
            yield f"began at {began}, and {parent} never succeeded"


def _ends(attempt: RowMapping) -> bool:
    return attempt["outcome"] in (Outcome.SUCCEEDED, Outcome.DISCARDED)


def _ran(attempt: RowMapping) -> bool:
    return attempt["outcome"] is not None and Outcome(attempt["outcome"]) is not Outcome.INTERRUPTED


def _wrong_steps(
    job: JobPlan, row: RowMapping, tried: Sequence[RowMapping], ran: Mapping[int, list[int]]
) -> Iterator[str]:
    outcomes = {attempt["number"]: attempt["outcome"] for attempt in tried}
    for number, attempts in ran.items():
        if len(set(attempts)) != len(attempts):
            yield f"step {number} ran twice in an attempt: {attempts}"
        if again := [one for one in sorted(attempts)[:-1] if outcomes[one] not in _MAY_RUN_AGAIN_AFTER]:
            yield f"step {number} ran in {attempts}, though attempt {again[0]} was {outcomes[again[0]]}"
    wanted = 0 if job.changed else int(job.args.get("steps", 0))
    if row["state"] == State.SUCCEEDED and job.changed is not None and len(ran) < wanted:
        yield f"succeeded after the steps {sorted(ran)}"
    has_tried_again = row["state"] == State.SUCCEEDED and wanted > 0 and outcomes[1] == Outcome.FAILED
    if has_tried_again and (restored := from_json(row["result"])["restored"]) != wanted:
        error = f"{tried[0]['error_type']}: {tried[0]['error_message']}"
        tried_as = [*outcomes.values()]
        yield f"took {wanted} steps in its first attempt ({error}), and the last of {tried_as} was given {restored}"


def _wrong_result(plan: FlowPlan, job: JobPlan, row: RowMapping, found: Found) -> Iterator[str]:
    result = from_json(row["result"])
    seen = {"args": {name: result[name] for name in ("text", "seconds")}, "priority": row["priority"]}
    asked = {"args": {name: job.args[name] for name in ("text", "seconds")}, "priority": 0}
    allowed: list[dict[str, Any]] = {True: [CHANGED], False: [asked], None: [asked, CHANGED]}[job.changed]
    if seen not in allowed:
        yield f"changed: {job.changed}, and it saw {seen}"
    if set(result["came_after"]) != {plan.ids[parent] for parent in job.after}:
        yield f"came after {result['came_after']}"
    if job.run_when == "succeeded":
        for parent, text in result["came_after"].items():
            if text != from_json(found.rows[parent]["result"])["text"]:
                yield f"was given {text} as the result of {parent}"


async def _wrong_calls(system: System, plans: Iterable[FlowPlan], found: Found) -> list[str]:
    """Find callbacks that are missing, were recorded twice or for nothing, or did not run."""
    must = sum((plan.calls() for plan in plans), Counter[tuple[str, str]]())
    there = Counter({key: len(ids) for key, ids in found.called.items()})
    wrong = [
        f"callback {event} of {owner}: {there[owner, event]} and not {must[owner, event]}"
        for owner, event in must.keys() | there.keys()
        if there[owner, event] != must[owner, event]
    ]
    ids = [job_id for of_owner in found.called.values() for job_id in of_owner]
    async with system.ledger() as ledger, ledger.read() as connection:
        states = {job_id: row[0] for job_id, row in (await _states_of(connection, ids)).items()}
    return wrong + [
        f"callback {job_id}: {states.get(job_id)}" for job_id in ids if states.get(job_id) != State.SUCCEEDED
    ]


async def _states_of(connection: Any, ids: Sequence[str]) -> dict[str, Any]:
    states: dict[str, Any] = {}
    for first in range(0, len(ids), _PIECE):
        states |= await queries.states_of(connection, ids[first : first + _PIECE])
    return states


async def _read(system: System, plans: Sequence[FlowPlan]) -> Found:
    ids = [job_id for plan in plans for job_id in plan.ids.values()]
    owners = [*ids, *(plan.id for plan in plans)]
    rows: dict[str, RowMapping] = {}
    attempts: dict[str, list[RowMapping]] = {}
    called: dict[tuple[str, str], list[str]] = defaultdict(list)
    async with system.ledger() as ledger, ledger.read() as connection:
        for first in range(0, len(owners), _PIECE):
            piece = owners[first : first + _PIECE]
            found = await connection.execute(select(jobs).where(jobs.c.id.in_(piece)))
            rows |= {row["id"]: row for row in found.mappings()}
            attempts |= await queries.get_attempts(connection, piece)
            for row in await connection.execute(select(callback_jobs).where(callback_jobs.c.owner.in_(piece))):
                called[row.owner, row.event].append(row.job_id)
    return Found(rows, attempts, called)


def _steps_in(system: System) -> dict[str, dict[int, list[int]]]:
    """Read in which attempts each step of each job ran."""
    ran: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for effect, attempts in system.attempts_of_effects().items():
        job_id, _, step = effect.partition("/")
        if step:
            ran[job_id][int(step)] += attempts
    return ran
