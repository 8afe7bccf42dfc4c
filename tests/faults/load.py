"""A load: clients that send each job with its Idempotency-Key until it is accepted, and keep every accepted id.

A plain arq client enqueues beside them; its jobs count once they are in the ledger. Other clients send into lanes whose
limits are counted at a receiver (`lane_limits.py`), or enqueue small flows (`flow_plans.py`).
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from service.queue import UNREACHABLE, open_redis
from tests.faults.flow_plans import FlowPlan, change_one, run_late_ones_now, small_plan
from tests.faults.lane_limits import LIMITS
from tests.faults.system import System

SEND_AGAIN = (409, 503, 507)


@dataclass
class Load:
    """What was accepted when, and how the API behaved meanwhile."""

    kind: str = "fault_work"
    accepted: dict[str, datetime] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    """How often each status came; 0 counts requests without an answer."""
    slowest_s: float = 0.0
    in_lanes: "list[Load]" = field(default_factory=list)
    """The parts of the load that are in lanes."""
    flows: list[FlowPlan] = field(default_factory=list)
    """What was asked for, with the ids that were answered."""

    @property
    def parts(self) -> "list[Load]":
        return [self, *self.in_lanes]

    async def post(self, client: httpx.AsyncClient, key: str, args: dict[str, Any], **options: Any) -> str:
        """Send one job until it is accepted; return its id."""
        answer = await self._insist(client, "/v1/jobs", key, {"kind": self.kind, "args": args} | options)
        job_id: str = answer["id"]
        self.accepted.setdefault(job_id, datetime.now(UTC))
        return job_id

    async def post_flow(self, client: httpx.AsyncClient, key: str, plan: FlowPlan) -> None:
        """Send a flow until it is accepted, whose ids the plan has from then on."""
        answer = await self._insist(client, "/v1/flows", key, plan.body())
        plan.id, plan.ids = answer["id"], answer["jobs"]
        self.flows.append(plan)

    async def _insist(self, client: httpx.AsyncClient, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        while True:
            status, answer = await self._send(client, path, key, body)
            self.answers[status] += 1
            if answer is not None:
                return answer
            if status not in (0, *SEND_AGAIN):
                raise AssertionError(f"the API answered {status} to a job of the load")
            await asyncio.sleep(0.1)

    async def _send(
        self, client: httpx.AsyncClient, path: str, key: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | None]:
        began = time.monotonic()
        try:
            answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return 0, None
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return answer.status_code, answer.json() if answer.is_success else None


Args = Callable[[random.Random], dict[str, Any]]


def short_work(chance: random.Random) -> dict[str, Any]:
    """Args of jobs that take up to half a second."""
    return {"seconds": round(chance.uniform(0, 0.5), 3)}


async def enqueue_by_arq(system: System, kind: str, job_id: str, args: dict[str, Any]) -> None:
    """Enqueue like a plain arq client; a job that Redis does not take belongs to nobody."""
    client = open_redis(system.redis_url)
    with contextlib.suppress(*UNREACHABLE):
        await client.enqueue_job(kind, _job_id=job_id, **args)
    await client.aclose(close_connection_pool=True)


# A burst keeps jobs waiting in each lane from the load's first second to its last.
LANE_BURST = 20
LANE_PAUSE_S = 0.2
FLOW_PAUSE_S = 0.5
DEAD = "dest:dead"


async def send_in_lane(system: System, load: Load, lane: str, own: random.Random, over: asyncio.Event) -> None:
    """Send the jobs of a lane: each is answered before the next is sent. Some are refused at their first attempt."""
    name, number = f"{own.getrandbits(64):x}", 0
    while not over.is_set():
        number += 1
        url = system.receiver.url(lane, number=number, hold_s=own.uniform(0, 0.1), refuse=int(number % 7 == 0))
        await load.post(system.client, f"{name}-{number}", {"url": url}, lane={"key": lane, **LIMITS[lane]})
        await asyncio.sleep(own.uniform(0, 2 * LANE_PAUSE_S) if number > LANE_BURST else 0)


async def send_flows(system: System, load: Load, own: random.Random, over: asyncio.Event) -> None:
    """Send small flows. Of some, one job is changed while it is blocked; what is not due for an hour runs now."""
    name, number = f"{own.getrandbits(64):x}", 0
    while not over.is_set():
        number += 1
        plan = small_plan(own)
        await load.post_flow(system.client, f"{name}-{number}", plan)
        await change_one(system.client, plan, own)
        await run_late_ones_now(system.client, plan)
        await asyncio.sleep(own.uniform(0, 2 * FLOW_PAUSE_S))


async def send_to_the_dead(system: System, load: Load, own: random.Random, over: asyncio.Event) -> None:
    """Send to a destination that answers nobody until the load is over; then tell its breaker so."""
    name, number = f"{own.getrandbits(64):x}", 0
    system.receiver.silent.add(DEAD)
    while not over.is_set():
        number += 1
        args = {"to": "dead", "url": system.receiver.url(DEAD, number=number)}
        await load.post(system.client, f"{name}-{number}", args)
        await asyncio.sleep(own.uniform(0, 2))
    system.receiver.speak(DEAD)
    while not await _close_breaker(system.client):
        await asyncio.sleep(0.1)


async def _close_breaker(client: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        answer = await client.put(f"/v1/lanes/{DEAD}", json={"breaker": {"state": "closed"}})
        return answer.is_success
    return False


@asynccontextmanager
async def loading(
    system: System,
    chance: random.Random,
    *,
    kind: str = "fault_work",
    args: Args = short_work,
    clients: int = 4,
    pause_s: float = 0.05,
    **options: Any,
) -> AsyncIterator[Load]:
    """Load the system until the end of the block. Jobs begun by then are sent until they are accepted."""
    load = Load(kind)
    limited, dead = load.in_lanes = [Load(kind, answers=load.answers) for kind in ("fault_call", "fault_deliver")]
    over = asyncio.Event()
    await system.receiver.start()

    async def send(own: random.Random) -> None:
        name, number = f"{own.getrandbits(64):x}", 0
        while not over.is_set():
            number += 1
            await load.post(system.client, f"{name}-{number}", args(own), **options)
            await asyncio.sleep(own.uniform(0, 2 * pause_s))

    async def send_by_arq(own: random.Random) -> None:
        name, number = f"{own.getrandbits(64):x}", 0
        while not over.is_set():
            number += 1
            await enqueue_by_arq(system, kind, f"arq-{name}-{number}", args(own))
            await asyncio.sleep(own.uniform(0, 4 * pause_s))

    senders = [send(_child(chance)) for _ in range(clients)]
    senders += [send_by_arq(_child(chance)), send_to_the_dead(system, dead, _child(chance), over)]
    senders += [send_flows(system, load, _child(chance), over)]
    senders += [send_in_lane(system, limited, lane, _child(chance), over) for lane in LIMITS]
    sending = [asyncio.create_task(sender) for sender in senders]
    try:
        yield load
    except BaseException:
        for task in sending:
            task.cancel()
        raise
    finally:
        over.set()
        async with asyncio.timeout(90):
            await asyncio.gather(*sending, return_exceptions=True)
    for task in sending:
        task.result()


def _child(chance: random.Random) -> random.Random:
    return random.Random(chance.random())
