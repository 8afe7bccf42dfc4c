"""What Postlude's own code costs in µs of CPU: an enqueue in process, without sockets, and an attempt alone.

Takes the number of rounds and prints one line of JSON. The case `cpu` runs this file in the checkout that it measures,
which may be an older one: so it imports nothing of `benchmarks`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import uuid_utils

import jobs
from service import heap
from service.app import create_app
from service.job_resources import open_job_resources
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import SUCCESS, State
from service.resources import open_resources
from service.settings import Settings
from service.worker.performing.attempt import Performer

_REQUESTS, _CALLERS = 1_000, 64
_ATTEMPTS, _SLOTS = 2_000, 100
_BODY = json.dumps({"kind": "bench_stamp", "args": {"index": 1}}).encode()


class _AtOnce(Ledger):
    """Says at once that every attempt has succeeded."""

    async def finish_all(self, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        if finishes[0].outcome is not SUCCESS:
            raise RuntimeError(f"the attempt failed: {finishes[0].failure}")
        return [Finished(State.SUCCEEDED, finish.at, "default", 0) for finish in finishes]


async def main(rounds: int) -> None:
    settings = Settings()
    costs = {"enqueue_us": await _enqueue_us(settings, rounds), "attempt_us": await _attempt_us(settings, rounds)}
    print(json.dumps(costs), flush=True)


async def _enqueue_us(settings: Settings, rounds: int) -> float:
    """Measure `POST /v1/jobs` from many callers at once, in the loop and in the threads that write."""
    app = create_app(settings)
    scope = _scope(settings)

    async def call_again_and_again() -> None:
        for _ in range(_REQUESTS // _CALLERS):
            await app(dict(scope), _receive, _send)

    async def enqueue() -> None:
        await asyncio.gather(*(call_again_and_again() for _ in range(_CALLERS)))

    async with app.router.lifespan_context(app):
        return await _least_us(enqueue, _REQUESTS // _CALLERS * _CALLERS, rounds)


def _scope(settings: Settings) -> dict[str, Any]:
    headers = [
        (b"host", f"127.0.0.1:{settings.port}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_BODY)).encode()),
    ]
    path = "/v1/jobs"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", settings.port),
    }


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": _BODY, "more_body": False}


async def _send(message: Any) -> None:
    if message["type"] == "http.response.start" and message["status"] != 202:
        raise RuntimeError(f"the answer was {message['status']}")


async def _attempt_us(settings: Settings, rounds: int) -> float:
    """Measure attempts of a kind that does nothing, over a ledger that answers at once."""
    async with (
        open_resources(settings, jobs.load(settings.jobs)) as resources,
        open_job_resources(resources) as job_resources,
    ):
        ledger = _AtOnce(resources.ledger.database, retention=resources.ledger.retention)
        performer = Performer(replace(resources, ledger=ledger), job_resources)
        performer.workload.slots.limit_to(_SLOTS)
        started = [_started(performer.workload.worker_id) for _ in range(_ATTEMPTS)]

        async def perform() -> None:
            performer.workload.reserve(one.id for one in started)
            for one in started:
                performer.begin(one, lambda _finished: None)
            await performer.idle()

        try:
            with heap.gc_frozen():
                return await _least_us(perform, _ATTEMPTS, rounds)
        finally:
            performer.threads.shutdown()


def _started(worker: str) -> Started:
    now = datetime.now(UTC)
    fields: dict[str, Any] = (
        dict.fromkeys(Started._fields)
        | Started._field_defaults
        | {
            "id": str(uuid_utils.uuid7()),
            "kind": "bench_noop",
            "args": "{}",
            "attempt": 1,
            "failures": 0,
            "crashes": 0,
            "max_attempts": 3,
            "created_at": now,
            "run_at": now,
            "worker": worker,
            "started_at": now,
        }
    )
    return Started(*(fields[name] for name in Started._fields))  # older ones have fewer


async def _least_us(work: Callable[[], Awaitable[None]], count: int, rounds: int) -> float:
    """Return the CPU time of the cheapest round: whatever else the machine does only adds to it."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        await work()
        times.append(time.process_time() - began)
    return min(times) / count * 1e6


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
