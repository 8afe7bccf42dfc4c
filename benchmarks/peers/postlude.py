"""Postlude with the settings of `make dev`, its worker run by arq's CLI. Ledger and attempts are written."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import func, select

import jobs
from benchmarks import surroundings, tasks
from benchmarks.peers import Task
from benchmarks.peers.postlude_kinds import NoArgs
from service.ledger.states import State
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.new_job import new_job
from service.options import Options
from service.resources import open_resources
from service.settings import Settings
from service.tables import tallies

DISTRIBUTION = "postlude"
BATCH = 1000


class Postlude:
    def __init__(self, lifecycle: Lifecycle, http: httpx.AsyncClient) -> None:
        self._lifecycle = lifecycle
        self._http = http

    async def fill(self, task: Task, count: int) -> None:
        kind = self._lifecycle.catalogue["bench_sleep" if task == "sleep" else "bench_noop"]
        options = Options(delay=timedelta(days=1) if task == "tomorrow" else None)
        for first in range(0, count, BATCH):
            now = datetime.now(UTC)
            batch = [new_job(kind, NoArgs(), options, now) for _ in range(min(BATCH, count - first))]
            await self._lifecycle.enqueue(batch)

    async def enqueue_stamp(self, index: int) -> None:
        answer = await self._http.post("/v1/jobs", json={"kind": "bench_stamp", "args": {"index": index}})
        answer.raise_for_status()

    async def call(self, key: str, urls: Sequence[str]) -> None:
        jobs_ = [_call(key, url) for url in urls]
        for first in range(0, len(urls), BATCH):
            answer = await self._http.post("/v1/jobs/batch", json={"jobs": jobs_[first : first + BATCH]})
            answer.raise_for_status()

    async def done(self) -> int:
        # The ledger's own count, written in the transaction that ends the job: watching it costs the database nothing.
        succeeded = select(func.coalesce(func.sum(tallies.c["count"]), 0)).where(tallies.c.event == State.SUCCEEDED)
        async with self._lifecycle.ledger.read() as connection:
            return int((await connection.execute(succeeded)).scalar_one())


def _call(key: str, url: str) -> dict[str, Any]:
    """Return the body of a call that is held back as the case wants it; a `webhook` by nothing but its kind's lane."""
    plain = {"kind": "bench_call", "args": {"url": url}}
    webhook = {"kind": "send_webhook", "args": {"url": url, "event": "bench.called", "data": None}}
    match surroundings.limit():
        case "webhook":
            return webhook | {"timeout": tasks.CALL_TIMEOUT_S}
        case "rate":
            return webhook | {"lane": {"key": key, "rate": {"limit": tasks.CALLS_PER_S, "per": 1}}}
        case "lane":
            return plain | {"lane": key}
        case _:
            return plain


@asynccontextmanager
async def opened() -> AsyncIterator[Postlude]:
    settings = Settings()
    catalogue = jobs.load(settings.jobs)
    async with (
        open_resources(settings, catalogue) as resources,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{surroundings.port()}", trust_env=False) as http,
    ):
        yield Postlude(Lifecycle(resources.ledger, resources.queue, catalogue, writer=resources.process_id), http)


def worker(slots: int) -> Sequence[str]:
    return ["arq", "worker_settings.WorkerSettings"]
