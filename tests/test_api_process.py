"""The API as real processes: two of them over one ledger, restarts, kills, and a stop with streams open."""

import asyncio
import contextlib
import signal
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import pytest

from service.settings import Settings
from tests.service.api.driving import count, on_sqlite, post, stat
from tests.support.hostile import raw
from tests.support.processes import api_process


@pytest.mark.short("postgres")
async def test_fifty_parallel_requests_with_one_key_make_one_job_even_across_a_restart(settings: Settings) -> None:
    key = {"Idempotency-Key": "k"}
    unique = stat(unique_key="u")
    async with AsyncExitStack() as running:
        apis = [(await running.enter_async_context(api_process(settings)))[0] for _ in range(2)]

        async def send(number: int) -> httpx.Response:
            return await apis[number % 2].post("/v1/jobs", json=stat(), headers=key)

        answers = await asyncio.gather(*(send(number) for number in range(50)))
        holders = await asyncio.gather(*(apis[number % 2].post("/v1/jobs", json=unique) for number in range(50)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = {answer.content for answer in answers if answer.status_code == 202}
    assert len(accepted) == 1
    assert Counter(answer.status_code for answer in holders) == {202: 1, 200: 49}
    async with api_process(settings) as (restarted, _):
        again = await restarted.post("/v1/jobs", json=stat(), headers=key)
        assert (again.status_code, {again.content}) == (202, accepted)
        held = await restarted.post("/v1/jobs", json=unique)
        assert (held.status_code, held.json()["id"]) == (200, holders[0].json()["id"])
        assert await count(restarted) == 2


@pytest.mark.short("sqlite")
async def test_each_key_sent_again_after_a_kill_makes_one_job(settings: Settings) -> None:
    keys = [f"k{number}" for number in range(60)]
    told: dict[str, str] = {}

    async def send(api: httpx.AsyncClient, key: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = await api.post("/v1/jobs", json=stat(), headers={"Idempotency-Key": key})
            assert answer.status_code == 202
            assert told.setdefault(key, answer.json()["id"]) == answer.json()["id"]
            return True
        return False

    async with api_process(settings) as (api, child):
        sending = [asyncio.create_task(send(api, key)) for key in keys]
        await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        child.kill()
        await asyncio.gather(*sending)
    async with api_process(settings) as (api, _):
        for key in keys:
            assert await send(api, key)
        assert await count(api) == len(set(told.values())) == len(keys)


@on_sqlite
async def test_api_stops_cleanly_with_streams_open(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    async with api_process(settings) as (api, child):
        job = await post(api)
        async with raw(api) as waiting, api.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            await waiting.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await waiting.reader.readuntil(b"}")
            await waiting.send(f"GET /v1/jobs/{job['id']}?wait=50 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await api.get("/healthz")  # by its answer, what came before it has been read
            child.send_signal(signal.SIGTERM)
            assert b'"state":"queued"' in (await waiting.answer()).text
            async with asyncio.timeout(20):
                assert [line async for line in lines]  # the stream ends properly and is not cut off
        async with asyncio.timeout(20):
            await child.wait()
    assert "Cancel" not in capfd.readouterr().err
