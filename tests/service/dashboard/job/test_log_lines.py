"""A job's page shows what its attempts have logged."""

import pytest

import jobs
from service.settings import Settings
from tests.support.running import eventually, running_api, running_worker

KINDS = "tests.support.function_kinds"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_lines_of_the_latest_attempt_are_shown_once_it_has_succeeded_too(settings: Settings) -> None:
    ours = settings.model_copy(update={"jobs": (KINDS,), "log_level": "INFO"})
    async with running_api(ours) as api, running_worker(ours, jobs.load((KINDS,))):
        job = (await api.post("/v1/jobs", json={"kind": "fn_count", "args": {"upto": 3}})).json()
        assert (await api.get(f"/v1/jobs/{job['id']}?wait=20")).json()["state"] == "succeeded"

        async def kept() -> bool:
            return len((await api.get(f"/v1/jobs/{job['id']}/log")).json()["lines"]) == 2

        await eventually(kept)
        page = (await api.get(f"/jobs/{job['id']}")).text
        earlier = (await api.get(f"/jobs/{job['id']}?attempt=1")).text
    assert "counted" in page
    assert "counted" in earlier
