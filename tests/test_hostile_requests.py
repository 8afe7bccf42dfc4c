"""What hostile requests cost a real API process: memory, and the time it takes to answer others."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from service.settings import Settings
from tests.service.api.driving import assert_problem, count, on_sqlite, stat
from tests.support.hostile import MIB, Answer, hostile_bodies, peak_memory, pulse, raw
from tests.support.processes import api_process

# In MiB: as large as a body may be, and a third of it, which shows the same in a third of the time.
SIZES = (10, 30)
# Allows for a busy machine.
LONGEST_SILENCE_S = 10


def most_memory(size: int) -> int:
    """Return how many MiB a body of this size may make of the API: a good batch of 30 MiB takes 300."""
    return 240 + 12 * size


of_each_size = pytest.mark.parametrize("size", SIZES, ids="{}_mib".format)


@on_sqlite
@pytest.mark.timeout(600)
@pytest.mark.short("10_mib")
@of_each_size
async def test_hostile_batch_costs_about_as_much_as_a_good_one(settings: Settings, size: int) -> None:
    async with api_process(settings) as (api, process), pulse(api) as took:
        for name, body in hostile_bodies(size * MIB).items():
            answer = await api.post("/v1/jobs/batch", content=body, timeout=120)
            problem = assert_problem(answer, 400 if answer.status_code == 400 else 422)
            assert len(answer.content) < 100_000, name
            assert len(problem.get("errors", [])) <= 100, name
            assert peak_memory(process.pid) < most_memory(size), name
        assert max(took) < LONGEST_SILENCE_S
        assert await count(api) == 0


@on_sqlite
async def test_hostile_job_is_refused_without_a_long_silence(settings: Settings) -> None:
    start = b'{"kind":"update_stats","args":{"subject":"s","event":"e"},"tags":['
    tags = start + b",".join([b"1"] * 300_000) + b"]}"
    few_tags = start + b",".join([b"1"] * 170_000) + b"]}"
    names = b'{"kind":"update_stats","args":{' + b",".join(b'"a%d":1' % number for number in range(80_000)) + b"}}"
    long_name = b'{"kind":"update_stats","args":{"' + b"k" * 1_000_000 + b'":1}}'
    long_kind = b'{"kind":"' + b"k" * 1_000_000 + b'"}'
    numbers = b'{"kind":"send_webhook","args":{"url":"http://a/","event":"e","data":[' + b"9" * 1_000_000 + b"]}}"
    async with api_process(settings) as (api, process), pulse(api) as took:
        for path in ("/v1/jobs", "/v1/jobs/replay"):
            for body in (tags, few_tags, names, long_name, long_kind, numbers):
                answer = await api.post(path, content=body)
                assert answer.status_code in (400, 422)
                assert len(answer.content) < 100_000
        assert max(took) < LONGEST_SILENCE_S
        assert peak_memory(process.pid) < most_memory(10)


@on_sqlite
async def test_large_bodies_held_at_once_are_bounded_and_the_rest_are_503(settings: Settings) -> None:
    body = b'{"jobs":["' + b"x" * (30 * MIB) + b'"]}'
    async with api_process(settings) as (api, process):
        answers = await asyncio.gather(*(api.post("/v1/jobs/batch", content=body, timeout=120) for _ in range(12)))
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {422, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert assert_problem(answer, 503)["type"] == "urn:postlude:problem:too-many-bodies"
                assert answer.headers["retry-after"]
        assert peak_memory(process.pid) < most_memory(30)
        again = await api.post("/v1/jobs/batch", content=body, timeout=60)
        assert again.status_code == 422  # there is room again


@on_sqlite
@pytest.mark.short("10_mib")
@of_each_size
async def test_a_good_batch_is_accepted(settings: Settings, size: int) -> None:
    many = size * 8_000 // 30
    data = {f"k{number}": {"list": [number, {}, []]} for number in range(120)}
    job = {"kind": "send_webhook", "args": {"url": "http://127.0.0.1:9/", "event": "e", "data": data}}
    async with api_process(settings) as (api, process):
        sent: dict[str, Any] = {"json": {"jobs": [job] * many}, "headers": {"Idempotency-Key": "k"}, "timeout": 120}
        for _ in range(3):
            answer = await api.post("/v1/jobs/batch", **sent)
            if answer.status_code != 503:
                break
            assert "did not confirm the write" in answer.json()["detail"], "a slow disk or a busy machine"
        assert answer.status_code == 202
        assert len(answer.json()["jobs"]) == many
        assert peak_memory(process.pid) < most_memory(size)


@pytest.mark.timeout(300)
@pytest.mark.short("postgres")
async def test_thousand_watchers_at_once_are_all_told_of_the_end(settings: Settings) -> None:
    afresh = {"Connection": "close"}
    async with api_process(settings) as (api, _), AsyncExitStack() as stack:
        jobs = [(await api.post("/v1/jobs", json=stat(delay=3600), headers=afresh)).json()["id"] for _ in range(20)]

        began = asyncio.Semaphore(0)

        async def watch(number: int) -> Answer:
            job, streams = jobs[number % 20], number % 5 == 0
            path = f"/v1/jobs/{job}/events" if streams else f"/v1/jobs/{job}?wait=60"
            client = await stack.enter_async_context(raw(api))
            await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head = await client.reader.readuntil(b"\r\n\r\n") if streams else b""
            began.release()
            answer = await client.answer(120)
            return Answer(int(head[9:12]), answer.text) if streams else answer

        watching = [asyncio.create_task(watch(number)) for number in range(1_000)]
        for _ in watching:
            await began.acquire()
        for job in jobs:
            assert (await api.post(f"/v1/jobs/{job}/cancel", headers=afresh)).status_code == 200
        answers = await asyncio.gather(*watching)
    assert Counter(answer.status for answer in answers) == {200: 1_000}
    assert all(b'"state":"cancelled"' in answer.text for answer in answers)
