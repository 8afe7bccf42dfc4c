"""Whatever a network does to requests and answers: no job is lost, and none is enqueued twice."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
from postlude import AsyncClient, Client, NewJob, Unreachable, WaitTimedOut
from postlude.models import StateEvent
from postlude.problems import StateForbids

from service.settings import Settings
from tests.client.flaky import FAULTS, FlakyProxy, flaky
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import eventually, running_api

LONG_S = 60.0


@pytest.fixture
async def proxy(api: httpx.AsyncClient) -> AsyncIterator[FlakyProxy]:
    async with flaky(("127.0.0.1", api.base_url.port or 0)) as opened:
        yield opened


@pytest.fixture
async def wire(api: httpx.AsyncClient) -> AsyncIterator[FaultProxy]:
    async with proxying(("127.0.0.1", api.base_url.port or 0)) as opened:
        yield opened


@pytest.fixture
async def through(proxy: FlakyProxy) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(proxy.url, timeout=1, retry_for=LONG_S) as client:
        yield client


async def ids_of(api: httpx.AsyncClient) -> list[str]:
    async with AsyncClient(str(api.base_url)) as client:
        return sorted([job.id async for job in client.list()])


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_job_outlives_each_fault_once(
    fault: str, proxy: FlakyProxy, through: AsyncClient, api: httpx.AsyncClient
) -> None:
    proxy.plan = iter([fault])
    job = await through.enqueue("note", {"text": fault})
    assert job.args["text"] == fault
    assert await ids_of(api) == [job.id]
    proxy.plan = iter([fault])
    assert (await through.get(job)).id == job.id
    proxy.plan = iter([fault])
    assert [one.id async for one in through.list()] == [job.id]


async def test_hundreds_of_jobs_through_a_network_that_fails_half_the_time(
    proxy: FlakyProxy, through: AsyncClient, api: httpx.AsyncClient
) -> None:
    chance = random.Random(7)
    proxy.plan = (chance.choice(FAULTS) if chance.random() < 0.5 else "pass" for _ in itertools.count())

    def in_thread(numbers: range) -> list[str]:
        with Client(proxy.url, timeout=1, retry_for=LONG_S) as client:
            return [client.enqueue("note", {"text": str(number)}).id for number in numbers]

    singles, many, flow, threaded = await asyncio.gather(
        asyncio.gather(*(through.enqueue("note", {"text": str(number)}) for number in range(60))),
        through.enqueue_many(NewJob("note", {"text": str(number)}) for number in range(1_000)),
        through.flow({name: NewJob("note", {"text": name}) for name in "abc"}),
        asyncio.gather(*(asyncio.to_thread(in_thread, range(first, first + 5)) for first in range(0, 20, 5))),
    )
    enqueued = [*(job.id for job in singles), *many, *flow.jobs.values(), *itertools.chain.from_iterable(threaded)]
    assert len(set(enqueued)) == 1_083
    assert await ids_of(api) == sorted(enqueued)


async def test_connections_that_are_reset_at_any_moment_double_nothing(
    wire: FaultProxy, api: httpx.AsyncClient
) -> None:
    wire.slice_bytes, wire.jitter_s = 60, 0.002
    async with AsyncClient(f"http://127.0.0.1:{wire.port}", timeout=2, retry_for=LONG_S) as client:
        jobs = asyncio.gather(*(client.enqueue("note", {"text": str(number)}) for number in range(20)))
        chance = random.Random(3)
        for _ in range(100):  # and no more: a busy machine may take longer than any pause for a request
            await asyncio.sleep(chance.uniform(0, 0.15))
            wire.reset()
            if jobs.done():
                break
        enqueued = [job.id for job in await jobs]
    assert await ids_of(api) == sorted(enqueued)


async def test_a_service_that_is_restarted_gets_each_job_once(settings: Settings) -> None:
    async with (
        proxying(("127.0.0.1", 9)) as wire,
        AsyncClient(f"http://127.0.0.1:{wire.port}", timeout=5, retry_for=LONG_S) as client,
    ):
        enqueued = asyncio.gather(*(enqueue_some(client) for _ in range(8)))
        for _ in range(3):
            async with running_api(settings) as api:
                wire.target = ("127.0.0.1", api.base_url.port or 0)
                await eventually(partial(came, api, len(await ids_of(api)) + 15, enqueued))
        async with running_api(settings) as api:
            wire.target = ("127.0.0.1", api.base_url.port or 0)
            ids = [one for some in await enqueued for one in some]
            assert await ids_of(api) == sorted(ids)


async def came(api: httpx.AsyncClient, count: int, enqueued: asyncio.Future[list[list[str]]]) -> bool:
    return enqueued.done() or len(await ids_of(api)) >= count


async def enqueue_some(client: AsyncClient) -> list[str]:
    return [(await client.enqueue("note", {"text": str(number)})).id for number in range(12)]


async def test_an_action_whose_answer_was_lost_is_done_and_said_to_be(
    proxy: FlakyProxy, through: AsyncClient, working: None
) -> None:
    job = await through.enqueue("note", {"text": "x"}, delay=3600)
    proxy.plan = iter(["drop_answer"])
    assert (await through.cancel(job)).state == "cancelled"
    with pytest.raises(StateForbids):
        await through.cancel(job)
    failed = await through.wait(await through.enqueue("fail"), timeout=LONG_S)
    assert failed.state == "failed"
    held = await through.enqueue("hold", {"seconds": LONG_S})
    await through.cancel(held)
    await through.wait(held, timeout=LONG_S)
    proxy.plan = iter(["half_answer"])
    assert (await through.replay(held)).state in ("queued", "running")
    await through.cancel(held)


async def test_all_failed_jobs_are_replayed_through_losses(
    proxy: FlakyProxy, through: AsyncClient, working: None
) -> None:
    jobs = [await through.enqueue("fail") for _ in range(3)]
    for job in jobs:
        await through.wait(job, timeout=LONG_S)
    proxy.plan = iter(["half_answer", "busy"])
    await through.replay_many(kind="fail")

    async def ran_again() -> bool:
        found = [await through.get(job) for job in jobs]
        return all(job.attempt >= 2 and job.ended for job in found)

    await eventually(ran_again)


async def test_waiting_survives_cuts_and_outages(proxy: FlakyProxy, through: AsyncClient, working: None) -> None:
    job = await through.enqueue("hold", {"seconds": 2})
    proxy.plan = iter(["drop_answer", "busy", "half_json", "reset"])
    assert (await through.wait(job, timeout=LONG_S)).state == "succeeded"


async def test_waiting_ends_in_time_though_nobody_answers(proxy: FlakyProxy, through: AsyncClient) -> None:
    job = await through.enqueue("note", {"text": "x"})
    for fault in ("black_hole", "busy", "drop_answer"):
        proxy.plan = itertools.repeat(fault)
        began = time.monotonic()
        with pytest.raises(WaitTimedOut, match=job.id):
            await through.wait(job, timeout=1)
        assert time.monotonic() - began < 6


async def test_events_go_on_where_a_cut_connection_ended(wire: FaultProxy, working: None) -> None:
    async with AsyncClient(f"http://127.0.0.1:{wire.port}", retry_for=LONG_S) as client:
        job = await client.enqueue("hold", {"seconds": 1.5})
        states = []
        async for event in client.events(job):
            if isinstance(event, StateEvent):
                states.append(event.state)
            wire.reset()
        assert states == list(dict.fromkeys(states)), "nothing is told twice"
        assert states[-1] == "succeeded"


async def test_a_client_gives_up_in_the_time_it_was_given(proxy: FlakyProxy) -> None:
    for fault in ("black_hole", "late_busy", "reset"):
        proxy.plan = itertools.repeat(fault)
        began = time.monotonic()
        async with AsyncClient(proxy.url, timeout=0.3, retry_for=1) as client:
            with pytest.raises(Unreachable):
                await client.enqueue("note", {"text": "x"})
        assert time.monotonic() - began < 6


async def test_a_wait_that_is_asked_for_is_kept(proxy: FlakyProxy, through: AsyncClient) -> None:
    proxy.plan = iter(["busy_for_a_second"])
    began = time.monotonic()
    await through.enqueue("note", {"text": "x"})
    assert time.monotonic() - began >= 1
    proxy.plan = iter(["busy_for_an_hour"])
    began = time.monotonic()
    with pytest.raises(Unreachable, match="503"):
        await through.enqueue("note", {"text": "x"})
    assert time.monotonic() - began < LONG_S / 2, "a wait that is longer than the time left is not begun"
