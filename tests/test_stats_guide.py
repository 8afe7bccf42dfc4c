"""The commands of docs/stats.md, one after the other, against the API and a worker."""

import shlex
from typing import Any

import httpx

import jobs
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.running import eventually, running_api, running_worker
from tests.test_documents import ROOT, blocks

GUIDE = ROOT / "docs/stats.md"
SERIES = {"2026-03-28T00:00:00+01:00": 0, "2026-03-29T00:00:00+01:00": 3, "2026-03-30T00:00:00+02:00": 0}


@on_sqlite
async def test_what_the_guide_counts_is_shown_as_it_says(settings: Settings) -> None:
    lines = [shlex.split(line) for block in blocks(GUIDE, "sh") for line in block.splitlines()]
    posts = [line[-1] for line in lines if line[-2] == "-d"]
    gets = [line[1].removeprefix("http://127.0.0.1:8000") for line in lines if len(line) == 2]
    async with running_api(settings) as api, running_worker(settings, jobs.load(())):
        for body in posts:
            answer = await api.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 202, answer.text

        async def counted() -> bool:
            return bool((await api.get("/v1/stats")).json()["total"] == 7)

        await eventually(counted)
        found = {path: await _json(api, path) for path in gets}
    by_day = next(one for path, one in found.items() if "bucket=day" in path)
    assert {bucket["start"]: bucket["count"] for bucket in by_day["buckets"]} == SERIES
    assert next(one for path, one in found.items() if "unique=true" in path)["unique"] == 1
    assert next(one for path, one in found.items() if path.endswith("event=view"))["total"] == 2


async def _json(api: httpx.AsyncClient, path: str) -> Any:
    answer = await api.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()
