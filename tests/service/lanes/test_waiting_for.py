"""A job that does not run says why, in one sentence with the time: over HTTP, with a running worker."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import jobs
from service import agreed_time
from service.lanes.outlook import Outlook, Overview
from service.lanes.waiting_for import WaitingFor
from service.ledger.models import NewJob
from service.ledger.states import State
from service.settings import Settings
from tests.service.api.driving import with_redis_away
from tests.support.raw_receiver import raw_receiver
from tests.support.running import eventually, running_api, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

_TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
HELD = {"kind": "journey_held", "args": {"first_seconds": 300}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": ("tests.support.journey_kinds",), "grace_s": 0, "max_jobs": 8})


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


@asynccontextmanager
async def working(settings: Settings, **changes: Any) -> AsyncIterator[None]:
    async with running_worker(settings.model_copy(update=changes), jobs.load(settings.jobs)):
        yield


async def enqueue(api: httpx.AsyncClient, **job: Any) -> dict[str, Any]:
    answer = await api.post("/v1/jobs", json=HELD | job)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def reason(api: httpx.AsyncClient, job: dict[str, Any]) -> str | None:
    shown = (await api.get(f"/v1/jobs/{job['id']}")).json()["waiting_for"]
    return None if shown is None else str(shown)


async def says(api: httpx.AsyncClient, job: dict[str, Any], sentence: str) -> None:
    """Wait until a job's reason matches a sentence; TIME stands for a time."""
    wanted = re.compile(re.escape(sentence).replace("TIME", _TIME).replace("ANY", ".*"))
    seen: list[str | None] = []

    async def matches() -> bool:
        seen[:] = [await reason(api, job)]
        return wanted.fullmatch(str(seen[0])) is not None

    try:
        await eventually(matches)
    except TimeoutError:
        raise AssertionError(f"{seen[0]!r} is not {sentence!r}") from None


async def runs(api: httpx.AsyncClient, job: dict[str, Any]) -> None:
    async def is_running() -> bool:
        return bool((await api.get(f"/v1/jobs/{job['id']}")).json()["state"] == "running")

    await eventually(is_running)
    assert await reason(api, job) is None


async def act(api: httpx.AsyncClient, path: str, **body: Any) -> None:
    (await api.post(path, json=body or None)).raise_for_status()


async def test_without_a_worker_that_could_run_it(api: httpx.AsyncClient, settings: Settings) -> None:
    job = await enqueue(api)
    await says(api, job, "no worker is alive")
    later = await enqueue(api, delay=3600)
    assert later["waiting_for"] == await reason(api, later)
    await says(api, later, "it is due at TIME")
    async with working(settings, queues=("other",)):
        await says(api, job, "no worker is alive that serves the queue default")


async def test_that_no_worker_knows_its_kind(api: httpx.AsyncClient, settings: Settings) -> None:
    async with running_worker(settings, jobs.load()):
        await says(api, await enqueue(api), "no worker is alive that knows the kind journey_held")


async def test_a_pause_of_its_kind_its_queue_or_its_lane(api: httpx.AsyncClient, settings: Settings) -> None:
    async with working(settings):
        await act(api, "/v1/kinds/journey_held/pause", **{"for": 600})
        job = await enqueue(api, lane="tenant:42")
        await says(api, job, "its kind journey_held is paused until TIME")
        await act(api, "/v1/queues/default/pause")
        assert await reason(api, job) == "its queue default is paused"  # at once: this API has done it
        await act(api, "/v1/queues/default/resume")
        await act(api, "/v1/lanes/tenant:*/pause")
        await act(api, "/v1/kinds/journey_held/resume")
        await says(api, job, "its lane tenant:42 is paused")
        await act(api, "/v1/lanes/tenant:*/resume")
        await runs(api, job)


async def test_the_limits_of_its_lane(api: httpx.AsyncClient, settings: Settings) -> None:
    async with working(settings):
        of_one = {"key": "tenant:1", "concurrency": 1}
        await runs(api, await enqueue(api, lane=of_one))
        await says(api, await enqueue(api, lane=of_one), "its lane tenant:1 runs 1 of at most 1")
        slow = {"key": "tenant:2", "rate": {"limit": 1, "per": 3600}}
        first = await enqueue(api, lane=slow)

        async def is_taken() -> bool:
            return await reason(api, first) is None or "may start 1 in" in str(await reason(api, first))

        await eventually(is_taken)
        await says(api, await enqueue(api, lane=slow), "its lane tenant:2 may start 1 in 3600 s; the next at TIME")


async def test_the_job_before_it_in_strict_order(api: httpx.AsyncClient, settings: Settings) -> None:
    lane = {"key": "account:7", "order": "strict"}
    async with working(settings):
        first = await enqueue(api, lane=lane)
        second, third = await enqueue(api, lane=lane), await enqueue(api, lane=lane)
        await runs(api, first)
        for job in (second, third):
            await says(api, job, f"its lane account:7 is in strict order and waits for job {first['id']}")
        await act(api, f"/v1/jobs/{first['id']}/cancel")
        await says(api, third, f"its lane account:7 is in strict order and waits for job {second['id']}")


async def test_a_breaker_and_what_opened_it(api: httpx.AsyncClient, settings: Settings) -> None:
    async with working(settings):
        hook = {"url": "http://127.0.0.1:9/hook", "event": "e", "data": None}
        sent = [await enqueue(api, kind="send_webhook", args=hook) for _ in range(6)]
        [lane] = sent[0]["lanes"]

        async def is_open() -> bool:
            return bool((await api.get(f"/v1/lanes/{lane}")).json()["breaker"]["state"] == "open")

        await eventually(is_open)
        waits = await enqueue(api, kind="send_webhook", args=hook)
        await says(api, waits, f"the breaker of {lane} is open until TIME; the last failure: ConnectFailed: ANY")
        await api.put(f"/v1/lanes/{lane}", json={"breaker": "open"})
        await says(api, waits, f"the breaker of {lane} is forced open")


async def test_a_destination_that_has_its_share_of_the_slots(api: httpx.AsyncClient, settings: Settings) -> None:
    async with raw_receiver(lambda line: line.hung_up()) as silent, working(settings, max_jobs=8):
        hook = {"url": silent.url, "event": "e", "data": None}
        for _ in range(2):
            await runs(api, await enqueue(api, kind="send_webhook", args=hook))
        waits = await enqueue(api, kind="send_webhook", args=hook)
        [lane] = waits["lanes"]
        quarter = f"its lane {lane} runs 2, and may take at most a quarter of a worker's slots"
        await says(api, waits, f"a free slot; {quarter}")
        await api.put(f"/v1/lanes/{lane}", json={"concurrency": 2})
        await says(api, waits, f"its lane {lane} runs 2 of at most 2")


async def test_all_slots_are_taken(api: httpx.AsyncClient, settings: Settings) -> None:
    async with working(settings, max_jobs=1):
        await runs(api, await enqueue(api))
        await says(api, await enqueue(api, lane="tenant:42"), "a free slot")


async def test_lists_say_it_too_and_only_of_what_waits(api: httpx.AsyncClient, settings: Settings) -> None:
    async with working(settings):
        await act(api, "/v1/lanes/tenant:1/pause")
        running, paused = await enqueue(api), await enqueue(api, lane="tenant:1")
        await runs(api, running)
        await says(api, paused, "its lane tenant:1 is paused")
        listed = {job["id"]: job["waiting_for"] for job in (await api.get("/v1/jobs")).json()["jobs"]}
        assert listed == {running["id"]: None, paused["id"]: "its lane tenant:1 is paused"}


async def test_redis_that_is_away(settings: Settings) -> None:
    async with working(settings), running_api(with_redis_away(settings)) as api:
        in_a_lane = await enqueue(api, lane="tenant:1")
        await says(api, in_a_lane, "Redis does not answer: it keeps the limits of its lane tenant:1")


async def test_many_who_look_at_jobs_without_lanes_cost_one_read_a_second_and_nothing_of_redis(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float] = []
    read = Outlook._read

    async def counted(self: Outlook, names: Sequence[str]) -> Mapping[str, Overview]:
        reads.append(time.monotonic())
        return await read(self, names)

    monkeypatch.setattr(Outlook, "_read", counted)
    async with running_api(with_redis_away(settings)) as api:
        job = await enqueue(api)
        began = time.monotonic()
        for _ in range(10):
            seen = await asyncio.gather(*(reason(api, job) for _ in range(20)))
            assert set(seen) == {"no worker is alive"}
        assert len(reads) <= 2 + (time.monotonic() - began)


def test_a_new_job_that_may_run_is_not_said_to_wait_for_a_slot() -> None:
    outlook: Any = SimpleNamespace(glance=lambda: SimpleNamespace(runs=lambda _kind, _queue: True))
    unread: Any = None
    now = agreed_time.now()
    job = NewJob(
        id="a", kind="note", state=State.QUEUED, queue="default", args="{}", run_at=now, created_at=now, max_attempts=1
    )
    assert WaitingFor(unread, unread, outlook).of_new(job) is None
