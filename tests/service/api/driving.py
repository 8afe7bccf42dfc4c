"""Drives jobs over HTTP and, where a state is wanted without a worker, by the ledger's own writes."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uuid_utils
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish, Start, Started
from service.ledger.records.lanes import record_rebuild
from service.ledger.records.workers import record_registered
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import jobs
from tests.support.writing import writing

SECRET = "whsec_" + base64.b64encode(b"nobody-may-read-this-in-answers!").decode()
MASK = "**********"
# In the order of the contract.
JOB_FIELDS = ["id", "kind", "label", "state", "queue", "priority", "args", "result", "error", "attempt", "failures"]
JOB_FIELDS += ["crashes", "max_attempts", "progress", "tags", "metadata", "lane", "lanes", "waiting_for"]
JOB_FIELDS += ["run_at", "created_at", "started_at", "finished_at", "attempts"]
JOB_FIELDS += ["flow", "after", "blocked_by", "callbacks", "steps", "checkpoint", "enqueued_by", "args_hidden"]

# What never reaches the database is the same on each.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def stat(subject: str = "page", **fields: Any) -> dict[str, Any]:
    """Make the body of an `update_stats` job."""
    return {"kind": "update_stats", "args": {"subject": subject, "event": "view"}} | fields


def webhook(**args: Any) -> dict[str, Any]:
    """Make the body of a `send_webhook` job."""
    return {"kind": "send_webhook", "args": {"url": "http://127.0.0.1:9/", "event": "e", "data": None} | args}


async def post(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Enqueue an `update_stats` job; returns the job."""
    response = await api.post("/v1/jobs", json=stat(**fields))
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


async def get(api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    response = await api.get(f"/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


def but_for_waiting(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job without why it waits, which a later look may tell otherwise."""
    return job | {"waiting_for": None}


async def count(api: httpx.AsyncClient) -> int:
    """Count the jobs there are, up to 1,000."""
    return len((await api.get("/v1/jobs", params={"limit": 1000})).json()["jobs"])


def assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of `status` as RFC 9457 describes it; returns the problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"].startswith("urn:postlude:problem:")
    assert problem.get("detail")
    return problem


async def living_worker(ledger: Ledger) -> str:
    """Register a worker whose heart has just beaten."""
    worker = f"w-{uuid_utils.uuid7().hex[-12:]}"
    async with writing(ledger.database) as connection:
        await connection.run_sync(
            record_registered, datetime.now(UTC), id=worker, hostname="here", pid=1, queues="default"
        )
    return worker


async def lanes_epoch(ledger: Ledger) -> str:
    """Rebuild the lanes, as far as the ledger knows of it; return their epoch."""
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_rebuild, "epoch")
    return "epoch"


async def begin(ledger: Ledger, job: dict[str, Any]) -> Started:
    """Begin an attempt under a worker of its own."""
    now = datetime.now(UTC)
    epoch = await lanes_epoch(ledger) if job["lanes"] else None
    due_by = now + timedelta(days=1)
    start = Start((job["id"],), await living_worker(ledger), (job["kind"],), now, due_by=due_by, lanes_epoch=epoch)
    return (await ledger.start(start))[job["id"]]


async def end(ledger: Ledger, started: Started, outcome: Outcome, state: State) -> None:
    """End an attempt, with a result where it succeeded and an error where it did not."""
    now = datetime.now(UTC)
    good = outcome is Outcome.SUCCEEDED
    finish = Finish(
        started.id,
        started.kind,
        started.attempt,
        started.worker,
        outcome,
        state,
        now,
        failures=0 if good else 1,
        run_at=now + timedelta(hours=1) if state is State.RETRYING else None,
        result='{"counted":true}' if good else None,
        failure=None if good else Failure("ValueError", "no luck", "Traceback: no luck"),
    )
    assert await ledger.finish(finish) is not None


_OUTCOMES = {State.RETRYING: Outcome.FAILED, State.SUCCEEDED: Outcome.SUCCEEDED, State.FAILED: Outcome.FAILED}


async def job_in(api: httpx.AsyncClient, ledger: Ledger, state: State, **fields: Any) -> dict[str, Any]:
    """Make a job that is in `state`."""
    job = await post(api, **fields | ({"delay": 3600} if state is State.SCHEDULED else {}))
    if state is State.BLOCKED:  # as if it came after another, which would be one more job
        async with writing(ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(state=state, blocked_by=1))
    elif state is State.CANCELLED:
        await ledger.cancel(job["id"], "test", datetime.now(UTC))
    elif state not in (State.SCHEDULED, State.QUEUED):
        started = await begin(ledger, job)
        if state in _OUTCOMES:
            await end(ledger, started, _OUTCOMES[state], state)
    job = await get(api, job["id"])
    assert job["state"] == state
    return job


def with_redis_away(settings: Settings) -> Settings:
    return settings.model_copy(update={"redis_url": f"unix://{settings.data_dir}/nobody-listens.sock"})
