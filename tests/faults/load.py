"""A load: clients that send each job with its Idempotency-Key until it is accepted, and keep every accepted id.

A plain arq client enqueues beside them; its jobs count once they are in the ledger.
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

    async def post(self, client: httpx.AsyncClient, key: str, args: dict[str, Any], **options: Any) -> str:
        """Send one job until it is accepted; return its id."""
        while True:
            status, job_id = await self._send(client, key, {"kind": self.kind, "args": args} | options)
            self.answers[status] += 1
            if job_id is not None:
                return job_id
            if status not in (0, *SEND_AGAIN):
                raise AssertionError(f"the API answered {status} to a job of the load")
            await asyncio.sleep(0.1)

    async def _send(self, client: httpx.AsyncClient, key: str, body: dict[str, Any]) -> tuple[int, str | None]:
        began = time.monotonic()
        try:
            answer = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return 0, None
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if answer.status_code not in (200, 202):
            return answer.status_code, None
        job_id: str = answer.json()["id"]
        self.accepted.setdefault(job_id, datetime.now(UTC))
        return answer.status_code, job_id


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
    over = asyncio.Event()

    async def send(name: str, own: random.Random) -> None:
        number = 0
        while not over.is_set():
            number += 1
            await load.post(system.client, f"{name}-{number}", args(own), **options)
            await asyncio.sleep(own.uniform(0, 2 * pause_s))

    async def send_by_arq(name: str, own: random.Random) -> None:
        number = 0
        while not over.is_set():
            number += 1
            await enqueue_by_arq(system, kind, f"arq-{name}-{number}", args(own))
            await asyncio.sleep(own.uniform(0, 4 * pause_s))

    senders = [*[send] * clients, send_by_arq]
    sending = [
        asyncio.create_task(sender(f"{chance.getrandbits(64):x}", random.Random(chance.random()))) for sender in senders
    ]
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
