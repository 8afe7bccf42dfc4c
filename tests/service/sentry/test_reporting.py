"""Sentry hears of the failure that a job ends with, once, and of none of its secrets."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from service.hooks import Hooks
from service.sentry.switch import hooks_of
from service.settings import Settings
from tests.support.processes import api_process
from tests.support.receiver import Receiver, receiving
from tests.support.running import eventually
from tests.support.worker_process import registered, worker_process


def events_of(sentry: Receiver) -> list[dict[str, Any]]:
    bodies = [
        gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        for request in sentry.requests
    ]
    lines = [json.loads(line) for body in bodies for line in body.splitlines() if line.startswith(b"{")]
    return [line for line in lines if "exception" in line]


def test_without_a_dsn_nothing_stands_around_anything() -> None:
    assert hooks_of({}) == Hooks()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_jobs_last_failure_is_reported_once_without_args(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as sentry, receiving() as receiver:
        monkeypatch.setenv("SENTRY_DSN", f"http://key@127.0.0.1:{sentry.port}/1")
        receiver.respond("500 Broken")
        telling = Settings(**settings.model_dump(exclude_unset=True) | {"log_level": "INFO"})
        async with api_process(settings) as (api, _), worker_process(telling, tmp_path) as worker:
            await registered(worker)
            args = {
                "url": receiver.url,
                "event": "order.paid",
                "data": {"card": "4711-s3cret"},
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            }
            body = {"kind": "send_webhook", "args": args, "max_attempts": 3, "retry": {"delays": [0.1]}}
            job_id = (await api.post("/v1/jobs", json=body)).json()["id"]

            async def told() -> bool:
                return bool(events_of(sentry))

            await eventually(told, 30)
            job = (await api.get(f"/v1/jobs/{job_id}?wait=20")).json()
    assert job["state"] == "failed"
    [event] = events_of(sentry)
    assert event["tags"]["kind"] == "send_webhook"
    assert event["contexts"]["job"] == {"id": job_id, "kind": "send_webhook", "attempt": 3}
    assert "s3cret" not in json.dumps(event)
    assert "MfKQ9r8" not in json.dumps(event)
