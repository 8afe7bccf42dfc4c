"""Flows of the load: what is asked for, how they are changed on their way, and what must become of them."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.ledger.callbacks import is_called
from service.ledger.models import Event
from service.ledger.states import RunWhen, State, edge_state

RUN_WHENS: tuple[RunWhen, ...] = ("succeeded", "ended", "attempted")
EVENTS: tuple[Event, ...] = ("success", "failure", "end")
CHANGED = {"args": {"text": "changed", "seconds": 0.01}, "priority": 7}
LATE_S = 3600


@dataclass
class JobPlan:
    """A job of a flow. `is_broken`: it fails for good, until what breaks it is mended."""

    name: str
    after: tuple[str, ...] = ()
    run_when: RunWhen = "succeeded"
    event: Event = "end"
    is_broken: bool = False
    late: bool = False
    args: dict[str, Any] = field(default_factory=dict)
    changed: bool | None = False
    """Whether it was changed; None: the answer was lost."""

    def body(self) -> dict[str, Any]:
        callback = {f"on_{self.event}": {"kind": "fault_called"}}
        waits = {"after": self.after, "run_when": self.run_when} if self.after else {}
        late = {"delay": LATE_S} if self.late else {}
        return {"name": self.name, "kind": "fault_flow", "args": self.args} | waits | late | callback


@dataclass
class FlowPlan:
    """A flow, parents first, with the ids that it got. `ends` counts how each job has ended, `over` how the flow."""

    jobs: Sequence[JobPlan]
    event: Event = "end"
    id: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    ends: dict[str, list[State]] = field(default_factory=dict)
    over: list[State] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        return {"jobs": [job.body() for job in self.jobs], f"on_{self.event}": {"kind": "fault_called"}}

    def settle(self) -> None:
        """Let each job end as it must: one that has succeeded stays as it is, others end once more."""
        states: dict[str, State] = {}
        for job in self.jobs:
            states[job.name] = self._end_of(job, states)
            ends = self.ends.setdefault(job.name, [])
            if not ends or ends[-1] is not State.SUCCEEDED:
                ends.append(states[job.name])
        if not self.over or self.over[-1] is not State.SUCCEEDED:
            self.over.append(max(states.values(), key=(State.SUCCEEDED, State.CANCELLED, State.FAILED).index))

    def _end_of(self, job: JobPlan, states: dict[str, State]) -> State:
        of_edges = [
            edge_state(states[parent], has_attempted=states[parent] is not State.CANCELLED, run_when=job.run_when)
            for parent in job.after
        ]
        if "broken" in of_edges:
            return State.CANCELLED
        return State.FAILED if job.is_broken else State.SUCCEEDED

    def mend(self) -> None:
        """Note that what broke its jobs is mended."""
        for job in self.jobs:
            job.is_broken = False

    def calls(self) -> Counter[tuple[str, str]]:
        """Count the callbacks that there must be, by the id of what has ended and the event."""
        owners = [(self.ids[job.name], job.event, self.ends[job.name]) for job in self.jobs]
        owners.append((self.id, self.event, self.over))
        return Counter({(owner, event): sum(is_called(event, end) for end in ends) for owner, event, ends in owners})


def small_plan(own: random.Random) -> FlowPlan:
    """Plan a diamond or a chain. Some of its jobs fail, some take steps, some are not due for an hour."""
    shape = own.choice([((), (0,), (0,), (1, 2)), ((), (0,), (1,))])
    return plan_of(own, shape)


def random_plan(own: random.Random, count: int, broken_until: str) -> FlowPlan:
    """Plan a flow of any shape, in which jobs are broken until there is a file."""
    shape = [tuple(sorted(own.sample(range(number), min(number, own.randint(0, 3))))) for number in range(count)]
    return plan_of(own, shape, broken_until)


def plan_of(own: random.Random, shape: Sequence[Sequence[int]], broken_until: str = "/never") -> FlowPlan:
    made = []
    for number, parents in enumerate(shape):
        job = JobPlan(
            f"job {number}",
            tuple(f"job {parent}" for parent in parents),
            own.choice(RUN_WHENS),
            own.choice(EVENTS),
            is_broken=own.random() < 0.15,
            late=own.random() < 0.1,
        )
        job.args = {"text": job.name, "seconds": round(own.uniform(0, 0.2), 3), "flaky": own.random() < 0.2}
        job.args |= {"steps": own.choice([0, 0, 3]), "broken_until": broken_until if job.is_broken else None}
        made.append(job)
    return FlowPlan(made, own.choice(EVENTS))


async def change_one(client: httpx.AsyncClient, plan: FlowPlan, own: random.Random) -> None:
    """Change the last job of a flow, if it is one that may be changed; it may have begun already."""
    job = plan.jobs[-1]
    if job.is_broken or own.random() < 0.5:
        return
    status = 0
    while status in (0, httpx.codes.SERVICE_UNAVAILABLE):
        status = await _ask(client, "PATCH", f"/v1/jobs/{plan.ids[job.name]}", CHANGED)
        if status == httpx.codes.OK:
            job.changed = True
        elif status == httpx.codes.CONFLICT:
            return  # it has begun, or an answer was lost
        else:
            job.changed = None
    assert status == httpx.codes.OK, status


async def run_late_ones_now(client: httpx.AsyncClient, plan: FlowPlan, within_s: float = 60) -> None:
    """Let the jobs be due that are not for an hour, each once nothing blocks it any more."""
    until = time.monotonic() + within_s
    for job in plan.jobs:
        if not job.late:
            continue
        while time.monotonic() < until:
            shown = await _shown(client, plan.ids[job.name])
            if shown.get("finished_at") or shown.get("state") in ("running", "queued", "retrying"):
                break
            if shown.get("state") == "scheduled":
                await _ask(client, "POST", f"/v1/jobs/{plan.ids[job.name]}/run-now")
            await asyncio.sleep(0.1)


async def _shown(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    with contextlib.suppress(httpx.TransportError):
        answer = await client.get(f"/v1/jobs/{job_id}")
        return dict(answer.json()) if answer.is_success else {}
    return {}


async def _ask(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> int:
    with contextlib.suppress(httpx.TransportError):
        return (await client.request(method, path, json=body)).status_code
    return 0
