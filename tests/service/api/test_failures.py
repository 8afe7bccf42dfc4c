"""Failures over HTTP: found, narrowed down, and replayed by their fingerprint."""

from datetime import UTC, datetime, timedelta

import httpx

import jobs
from service.settings import Settings
from tests.support.running import eventually, running_api, running_worker


async def test_a_group_is_found_narrowed_down_and_replayed(settings: Settings) -> None:
    settings = settings.model_copy(update={"jobs": ("tests.support.process_kinds",)})
    started = datetime.now(UTC) - timedelta(minutes=1)
    async with running_api(settings) as api, running_worker(settings, jobs.load(settings.jobs)):
        ids = [await _fails(api) for _ in range(2)]
        answer = (await api.get("/v1/failures", params={"since": started.isoformat()})).json()
        [group] = answer["failures"]
        assert (group["count"], group["jobs_failed"], group["message"]) == (2, 2, "no good")
        assert group["place"].startswith("tests/support/process_kinds.py:")
        assert sum(bucket["count"] for bucket in group["series"]) == 2
        fingerprint = group["fingerprint"]
        assert (await api.get(f"/v1/failures/{fingerprint}", params={"since": started.isoformat()})).json() == group
        for query, count in (
            ({"kind": group["kind"]}, 1),
            ({"kind": "none"}, 0),
            ({"q": group["error_type"].upper()}, 1),
            ({"q": "nowhere to be found"}, 0),
            ({"since": "0001-01-01T00:00:00Z", "sort": "latest_at"}, 1),
            ({"since": "9999-12-31T23:59:59Z"}, 0),
        ):
            shown = await api.get("/v1/failures", params=query)
            assert len(shown.json()["failures"]) == count, query
        assert (await api.get("/v1/failures/none")).status_code == 404
        listed = (await api.get("/v1/jobs", params={"fingerprint": fingerprint})).json()["jobs"]
        assert {job["id"] for job in listed} == set(ids)
        replay = {"action": "replay", "filter": {"fingerprint": fingerprint}, "dry_run": True}
        operation = (await api.post("/v1/operations", json=replay)).json()

        async def matched() -> bool:
            shown = (await api.get(f"/v1/operations/{operation['id']}")).json()
            return shown["state"] == "succeeded" and bool(shown["matched"] == 2)

        await eventually(matched)


async def _fails(api: httpx.AsyncClient) -> str:
    answer = await api.post("/v1/jobs", json={"kind": "process_raise", "args": {"how": "error"}})
    assert answer.status_code == 202, answer.text
    job_id = str(answer.json()["id"])

    async def failed() -> bool:
        return bool((await api.get(f"/v1/jobs/{job_id}")).json()["state"] == "failed")

    await eventually(failed)
    return job_id
