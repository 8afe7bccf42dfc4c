"""The journeys of a new user, with the real commands as processes of their own."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.support.processes import WORKER, Child, free_port, process
from tests.support.receiver import receiving
from tests.support.running import eventually, running_api

# The journeys start several processes one after another, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(400)
READY_WITHIN_S = 120.0


async def _status(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/jobs/{job_id}", params={"wait": 20})
    job: dict[str, Any] = answer.raise_for_status().json()
    return job


async def _post(client: httpx.AsyncClient, kind: str, args: dict[str, Any], **options: Any) -> str:
    answer = await client.post("/v1/jobs", json={"kind": kind, "args": args} | options)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def _is_ready(client: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        answer = await client.get("/readyz")
        return answer.status_code == 200 and answer.json()["status"] == "ready"
    return False


@asynccontextmanager
async def dev(data_dir: Path, **settings: str) -> AsyncIterator[tuple[httpx.AsyncClient, Child]]:
    """Run `postlude dev` until it is ready."""
    port = free_port()
    async with (
        process("postlude", "dev", DATA_DIR=str(data_dir), PORT=str(port), **settings) as supervisor,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        await eventually(lambda: _is_ready(client), READY_WITHIN_S)
        yield client, supervisor


async def test_new_user_sends_a_webhook_a_mail_and_a_counter_update(short_dir: Path) -> None:
    async with receiving() as receiver, dev(short_dir / "journey") as (client, supervisor):
        webhook = await _post(client, "send_webhook", {"url": receiver.url, "event": "user.created", "data": {"n": 1}})
        mail = await _post(client, "send_email", {"to": ["ann@example.com"], "subject": "Welcome", "text": "Hello"})
        count = await _post(client, "update_stats", {"subject": "home", "event": "visit", "count": 2})
        ended = [await _status(client, job_id) for job_id in (webhook, mail, count)]
        assert [job["state"] for job in ended] == ["succeeded"] * 3
        assert ended[0]["result"]["status"] == 200
        assert ended[1]["result"]["accepted"] == ["ann@example.com"]
        assert json.loads(receiver.requests[0].body)["data"] == {"n": 1}
        assert "Welcome" in (await client.get("/inbox")).text
        stats = (await client.get("/v1/stats", params={"subject": "home"})).json()
        assert stats["counters"] == [{"subject": "home", "event": "visit", "count": 2}]
        later = await _post(client, "update_stats", {"subject": "later", "event": "visit"}, delay=1.5)
        supervisor.send_signal(signal.SIGTERM)
        assert await supervisor.wait() == 0
    async with dev(short_dir / "journey") as (client, _):
        assert (await _status(client, later))["state"] == "succeeded"
        assert (await _status(client, mail))["state"] == "succeeded"


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The settings of a test, for its child processes."""
    return {
        "DATABASE_URL": settings.sqlalchemy_url,
        "REDIS_URL": settings.redis_dsn,
        "DATA_DIR": str(settings.data_dir),
        "JOBS": "tests.support.journey_kinds",
        "GRACE_S": "5",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings.model_copy(update={"jobs": ("tests.support.journey_kinds",)})) as opened:
        yield opened


@pytest.mark.short("sqlite")
async def test_arq_cli_in_burst_mode_runs_due_jobs_and_ends(
    client: httpx.AsyncClient, environment: dict[str, str]
) -> None:
    job_ids = [await _post(client, "journey_rest", {}) for _ in range(20)]
    async with process(*WORKER, "--burst", **environment) as worker:
        async with asyncio.timeout(30):
            assert await worker.wait() == 0
    assert {(await _status(client, job_id))["state"] for job_id in job_ids} == {"succeeded"}


@pytest.mark.short("sqlite")
async def test_arq_check_tells_a_living_worker_from_a_killed_one(
    client: httpx.AsyncClient, environment: dict[str, str]
) -> None:
    async def check() -> int:
        async with process(*WORKER, "--check", **environment) as checking:
            return await checking.wait()

    async def passes() -> bool:
        return await check() == 0

    async def fails() -> bool:
        return await check() == 1

    async with process(*WORKER, **environment) as worker:
        await eventually(passes)
        worker.kill()
        await worker.wait()
        await eventually(fails, timeout_s=20)


@pytest.mark.parametrize("stock", ["0", "1"], ids=["ours", "arqs_own"])
@pytest.mark.short("sqlite")
async def test_sigterm_hands_a_long_job_back_and_the_next_worker_runs_it(
    client: httpx.AsyncClient, environment: dict[str, str], stock: str
) -> None:
    hasty = environment | {"GRACE_S": "0.5", "STOCK_WORKER": stock}
    async with process(*WORKER, **hasty) as worker:
        job_id = await _post(client, "journey_rest", {"first_seconds": 60}, max_attempts=1)

        async def runs() -> bool:
            return bool((await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "running")

        await eventually(runs)
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await worker.wait() == 0
    async with process(*WORKER, **environment):
        job = await _status(client, job_id)
    assert (job["state"], job["failures"]) == ("succeeded", 0)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["interrupted", "succeeded"]


async def test_stock_arq_worker_performs_the_same_kinds(client: httpx.AsyncClient, environment: dict[str, str]) -> None:
    stock = environment | {"STOCK_WORKER": "1"}
    async with process(*WORKER, **stock):
        good = await _post(client, "journey_rest", {})
        flaky = await _post(client, "journey_flaky", {})
        assert (await _status(client, good))["state"] == "succeeded"
        job = await _status(client, flaky)
    assert (job["state"], job["failures"]) == ("succeeded", 1)
    first, second = job["attempts"]
    assert (first["outcome"], second["outcome"]) == ("failed", "succeeded")
    waited = datetime.fromisoformat(second["started_at"]) - datetime.fromisoformat(first["finished_at"])
    assert waited >= timedelta(seconds=1)
