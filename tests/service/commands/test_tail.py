"""`postlude jobs tail`, against an API and a worker that run."""

import asyncio
import json
import subprocess

import httpx

from jobs import load
from service.settings import Settings
from tests.service.commands.commanding import CLEAN, POSTLUDE, Answer, enqueue, run
from tests.support.running import eventually, running_api, running_worker


async def test_tail_follows_a_job_to_its_end_and_tells_by_the_exit_code(settings: Settings) -> None:
    with_kinds = settings.model_copy(update={"jobs": ("tests.support.journey_kinds",)})
    async with running_api(with_kinds) as api:

        async def tail(kind: str) -> Answer:
            answer = await api.post("/v1/jobs", json={"kind": kind, "args": {}, "max_attempts": 1})
            following = asyncio.create_task(run(api.base_url, "tail", answer.raise_for_status().json()["id"]))
            async with running_worker(with_kinds, load(with_kinds.jobs)):
                return await following

        good, bad = await tail("journey_rest"), await tail("journey_flaky")
    assert (good.code, good.out.splitlines()[-1]) == (0, "succeeded, attempt 1")
    assert (bad.code, bad.out.splitlines()[-1]) == (1, "failed, attempt 1: Retry: not yet")


async def test_tail_without_an_id_tells_of_new_jobs_and_of_what_becomes_of_them(api: httpx.AsyncClient) -> None:
    old = await enqueue(api)
    process = await asyncio.create_subprocess_exec(
        str(POSTLUDE), "jobs", "tail", "--json", "--kind", "update_stats",
        env=CLEAN | {"POSTLUDE_URL": str(api.base_url)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    told: list[tuple[str, str]] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            job = json.loads(line)
            told.append((job["id"], job["state"]))

    reading = asyncio.create_task(read())
    new: list[str] = []

    async def told_of_a_new_one() -> bool:
        new.append(await enqueue(api))
        await asyncio.sleep(0.5)
        return bool(told)

    await eventually(told_of_a_new_one, timeout_s=60)
    job_id = told[0][0]
    await run(api.base_url, "cancel", job_id)

    async def told_of_the_change() -> bool:
        return (job_id, "cancelled") in told

    await eventually(told_of_the_change, timeout_s=60)
    process.terminate()
    await process.wait()
    await reading
    assert job_id in new
    assert old not in {each for each, _ in told}
