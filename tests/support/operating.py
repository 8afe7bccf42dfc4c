"""Drives operations over HTTP, and checks what they left behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

import jobs
from service.settings import Settings
from tests.support.running import eventually, running_worker

_ENDED = ("succeeded", "stopped", "failed")


@asynccontextmanager
async def running_operator(settings: Settings) -> AsyncIterator[None]:
    """Run a worker that carries out operations and knows all kinds, but performs only jobs on the queue `operators`.

    What members are put on stays there to be looked at.
    """
    async with running_worker(settings, jobs.load()):
        yield


async def start(api: httpx.AsyncClient, action: str, wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
    answer = await api.post("/v1/operations", json={"action": action, "filter": wanted} | options)
    assert answer.status_code == 202, answer.text
    operation: dict[str, Any] = answer.json()
    return operation


async def look_at(api: httpx.AsyncClient, operation: dict[str, Any]) -> dict[str, Any]:
    answer = await api.get(f"/v1/operations/{operation['id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(api: httpx.AsyncClient, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait until an operation has ended."""

    async def look() -> dict[str, Any] | None:
        now = await look_at(api, operation)
        return now if now["state"] in _ENDED else None

    found = await eventually(look, timeout_s=60)
    assert found is not None
    return found


async def done_by(api: httpx.AsyncClient, action: str, wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Carry out an operation to its end; return what it says about its members."""
    found = await ended(api, await start(api, action, wanted, **options))
    assert found["state"] == "succeeded", found
    return {name: found[name] for name in ("matched", "done", "failed", "skipped")}


def told(done: int, **skipped: int) -> dict[str, Any]:
    """Return what `done_by` returns for an operation that met nothing else."""
    failed = sum(skipped.values())
    return {"matched": done + failed, "done": done, "failed": failed, "skipped": skipped}
