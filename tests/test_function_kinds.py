"""Kinds that are functions, from a request to what became of their jobs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

import jobs
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.function_kinds import count, exits, outlives, welcome
from tests.support.running import eventually, running_api, running_worker

MODULE = "tests.support.function_kinds"
KINDS = jobs.load((MODULE,))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,)})


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS.values()) as opened:
        yield opened


async def sent(api: httpx.AsyncClient, kind: str, **args: Any) -> httpx.Response:
    return await api.post("/v1/jobs", json={"kind": kind, "args": args})


async def test_the_api_shows_validates_and_masks_a_functions_parameters(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    shown = {kind["name"]: kind for kind in (await api.get("/v1/kinds")).json()["kinds"]}["fn_welcome"]
    assert set(shown["args_schema"]["properties"]) == {"email", "token", "name"}
    assert shown["description"] == "Welcome somebody."
    schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["WelcomeArgs"]["properties"]) == {"email", "token", "name"}

    refused = await sent(api, "fn_welcome", email="nobody", nmae="Ann")
    assert refused.status_code == 422
    errors = refused.json()["errors"]
    assert [error["loc"] for error in errors] == [["args", "email"], ["args", "nmae"]]
    assert "did you mean 'name'?" in errors[1]["msg"]

    accepted = await sent(api, "fn_welcome", email="ann@example.com", token="hush-hush", name="Ann")
    assert accepted.status_code == 202
    assert accepted.json()["args"] == {"email": "ann@example.com", "token": "**********", "name": "Ann"}
    async with running_worker(settings, KINDS):
        ended = (await api.get(f"/v1/jobs/{accepted.json()['id']}?wait=30")).json()
    assert (ended["state"], ended["result"]) == ("succeeded", "ann@example.com Ann 9 1")


async def test_a_def_uses_its_context_from_a_thread(settings: Settings, desk: Desk, api: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        async with running_worker(settings, KINDS):
            job_id = await desk.enqueue(count, {"upto": 4})
            await desk.ended(job_id)
            job = (await api.get(f"/v1/jobs/{job_id}")).json()
            assert job["state"] == "succeeded", job
            await desk.ended(job["result"]["next"])
    assert job["result"] == job["result"] | {"in_main": False, "restored": {"at": 6}, "results": 0}
    assert job["progress"] == job["progress"] | {"done": 4, "total": 4}
    assert [step["name"] for step in job["steps"]] == ["sum"]
    assert [one["outcome"] for one in job["attempts"]] == ["failed", "succeeded"]
    said = [line for line in lines if line["event"] == "counted"]
    assert [(line["job_id"], line["attempt"], line["total"]) for line in said] == [(job_id, 1, 6), (job_id, 2, 6)]


async def test_a_def_that_outlives_its_attempt_can_do_nothing_more(
    settings: Settings, desk: Desk, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    gate, diary = tmp_path / "gate", tmp_path / "diary"
    async with running_worker(settings, KINDS):
        job_id = await desk.enqueue(outlives, {"gate": str(gate), "diary": str(diary)})
        assert (await desk.ended(job_id))["state"] == "failed"
        assert await desk.outcomes(job_id) == ["timed_out"]
        gate.touch()

        async def has_ended() -> bool:
            return diary.exists() and diary.read_text() != ""

        await eventually(has_ended)
        assert diary.read_text() == "AttemptOver"
        assert (await api.get("/v1/jobs?kind=fn_welcome")).json()["jobs"] == []


async def test_a_def_that_exits_fails_alone(settings: Settings, desk: Desk) -> None:
    async with running_worker(settings, KINDS):
        gone = await desk.enqueue(exits, {"code": 3})
        assert (await desk.ended(gone))["state"] == "failed"
        assert (await desk.attempts(gone))[0]["error_type"] == "KindExited"
        other = await desk.enqueue(welcome, {"email": "ann@example.com"})
        assert (await desk.ended(other))["state"] == "succeeded"


@pytest.mark.short("sqlite")
async def test_a_suspect_def_runs_isolated(settings: Settings, desk: Desk) -> None:
    async with running_worker(settings, KINDS):
        job_id = await desk.record_suspect(count, {"upto": 3})
        assert (await desk.ended(job_id))["state"] == "succeeded"
        assert await desk.outcomes(job_id) == ["failed", "succeeded"]
