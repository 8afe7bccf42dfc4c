"""What broke elsewhere about limits, fairness and dead destinations, each as what must hold here."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from jobs import load
from service.settings import Settings
from tests.faults.form import WHOLE
from tests.support import gated_kinds
from tests.support.gated_kinds import GATES, Gate
from tests.support.lane_receiver import LaneReceiver, most_at_once
from tests.support.running import eventually, running_api, running_worker
from tests.support.smtp_servers import open_inbox

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODULES = (gated_kinds.__name__,)
SLOTS = 8
# By default: a kind leaves an eighth of the slots to others, and a destination takes a quarter of them.
OF_A_KIND, OF_A_DESTINATION = 7, 2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": MODULES, "max_jobs": SLOTS})


@pytest.fixture
def gates() -> Iterator[dict[str, Gate]]:
    GATES.update({name: Gate() for name in ("held", "free")})
    yield GATES
    GATES.clear()


@pytest.fixture
async def receiver() -> AsyncIterator[LaneReceiver]:
    made = LaneReceiver()
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Run an API and a worker that know every kind."""
    async with running_api(settings) as api, running_worker(settings, load(MODULES)):
        yield api


async def enqueue(api: httpx.AsyncClient, *bodies: dict[str, Any]) -> list[str]:
    answer = await api.post("/v1/jobs/batch", json={"jobs": bodies})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def at_gate(gate: str, kind: str = "gated", **options: Any) -> dict[str, Any]:
    return {"kind": kind, "args": {"gate": gate}, **options}


def webhook(url: str, **options: Any) -> dict[str, Any]:
    return {"kind": "send_webhook", "args": {"url": url, "event": "e", "data": None}, **options}


async def press(api: httpx.AsyncClient, what: str, action: str) -> None:
    answer = await api.post(f"/v1/{what}/{action}")
    assert answer.status_code == httpx.codes.OK, answer.text


async def force_open(api: httpx.AsyncClient, lane: str) -> None:
    answer = await api.put(f"/v1/lanes/{lane}", json={"breaker": {"state": "open"}})
    assert answer.is_success, answer.text


HELD: dict[str, tuple[dict[str, Any], int]] = {
    "concurrency": ({"concurrency": 1}, 1),
    "rate": ({"rate": {"limit": 1, "per": 86_400}}, 1),
    "strict order": ({"order": "strict"}, 1),
    "pause": ({}, 0),
    "breaker": ({}, 0),
}


@pytest.mark.parametrize("how", HELD)
async def test_thousand_jobs_that_a_lane_holds_back_delay_no_other_and_leave_no_slot_idle(
    settings: Settings, gates: dict[str, Gate], how: str
) -> None:
    limits, runs = HELD[how]
    held, free = gates["held"], gates["free"]
    async with working(settings) as api:
        if how == "pause":
            await press(api, "lanes/tenant:1", "pause")
        if how == "breaker":
            await force_open(api, "tenant:1")
        await enqueue(api, *[at_gate("held", lane={"key": "tenant:1", **limits})] * 1001)
        laneless = [at_gate("free", "gated_too")] * (OF_A_KIND - 2)
        await enqueue(api, *laneless, *[at_gate("free", "gated_too", lane="tenant:2")] * 2)

        async def every_slot_is_used() -> bool:
            return len(free.inside) == OF_A_KIND and len(held.inside) == runs

        await eventually(every_slot_is_used)
        assert held.passed == []
        [another] = await enqueue(api, at_gate("free", "gated_too"))
        free.let_out()

        async def follows() -> bool:
            return another in free.inside

        await eventually(follows)
        assert (len(held.inside), held.passed) == (runs, [])
        lane = (await api.get("/v1/lanes/tenant:1")).json()
        assert (lane["running"], lane["waiting"]) == (runs, 1001 - runs)
        free.let_out(OF_A_KIND)
        held.let_out(runs)


async def test_no_kind_holds_every_slot_of_a_worker_while_others_wait(
    settings: Settings, gates: dict[str, Gate]
) -> None:
    async with working(settings) as api:
        await enqueue(api, *[at_gate("held")] * 200)

        async def kind_is_full() -> bool:
            return len(gates["held"].inside) == OF_A_KIND

        await eventually(kind_is_full)
        [other] = await enqueue(api, at_gate("free", "gated_too"))

        async def runs() -> bool:
            return other in gates["free"].inside

        await eventually(runs)
        assert gates["held"].passed == []
        gates["held"].let_out(200)
        gates["free"].let_out()


async def test_one_dead_endpoint_delays_nobody(settings: Settings, receiver: LaneReceiver) -> None:
    receiver.silent.add("dead")
    dead, alive = receiver.url("dead"), receiver.url("alive").replace("127.0.0.1", "localhost")
    async with working(settings) as api:
        await enqueue(api, *[webhook(url) for _ in range(60) for url in (dead, dead, alive)])

        async def all_delivered() -> bool:
            return len(receiver.of("alive")) == 60

        await eventually(all_delivered)
        assert most_at_once(receiver.of("dead")) == OF_A_DESTINATION
        assert not [visit for visit in receiver.of("dead") if visit.ended < receiver.of("alive")[-1].began]


async def test_600_webhooks_to_a_receiver_that_never_answers_do_not_delay_a_mail(
    settings: Settings, receiver: LaneReceiver
) -> None:
    receiver.silent.add("dead")
    async with open_inbox() as inbox:
        settings = settings.model_copy(
            update={"max_jobs": 100, "smtp_url": SecretStr(f"smtp://127.0.0.1:{inbox.port}")}
        )
        async with working(settings) as api:
            await enqueue(api, *[webhook(receiver.url("dead"))] * 600)

            async def the_share_is_used() -> bool:
                return len(receiver.here("dead")) == 25

            await eventually(the_share_is_used)
            mail = {"to": ["ann@example.com"], "subject": "Hi", "text": "hello"}
            [mail_id] = await enqueue(api, {"kind": "send_email", "args": mail})
            job = (await api.get(f"/v1/jobs/{mail_id}", params={"wait": 20})).json()
            assert job["state"] == "succeeded"
            assert len(receiver.here("dead")) == len(receiver.of("dead")) == 25
    assert len(inbox.envelopes) == 1


async def test_pause_resume_and_deploy_send_nobody_a_second_copy(settings: Settings, receiver: LaneReceiver) -> None:
    copies = 60
    async with running_api(settings) as api:
        url = receiver.url("list", hold_s=0.02)
        ids = await enqueue(api, *[webhook(url, lane={"key": "campaign", "concurrency": 3})] * copies)

        async def reached(count: int) -> bool:
            return len(receiver.of("list")) >= count

        pausable = ("lanes/campaign", "kinds/send_webhook", "queues/default", f"lanes/host:127.0.0.1:{receiver.port}")
        for round_, what in enumerate(pausable, start=1):
            async with running_worker(settings, load(MODULES)):  # each is stopped while it sends: a deploy
                await eventually(partial(reached, 12 * round_))
                await press(api, what, "pause")
                await press(api, what, "resume")
        async with running_worker(settings, load(MODULES)):
            await eventually(partial(reached, copies))
            jobs = [(await api.get(f"/v1/jobs/{job_id}", params={"wait": 20})).json() for job_id in ids]
    assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    assert Counter(visit.job_id for visit in receiver.of("list")) == Counter(ids)


FOR_LONG = ("99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT")


@pytest.mark.parametrize("value", [*FOR_LONG, "-5", "1e400", "nan", "0", "soon"])
async def test_retry_after_of_any_value_breaks_no_worker_and_holds_its_lane_for_an_hour_at_most(
    settings: Settings, receiver: LaneReceiver, value: str
) -> None:
    receiver.headers["busy"] = {"retry-after": value}
    async with working(settings) as api:
        [job_id] = await enqueue(api, webhook(receiver.url("busy", refuse=1_000)))
        job = await retrying(api, job_id)
        assert datetime.fromisoformat(job["run_at"]) <= datetime.now(UTC) + timedelta(hours=24)
        opens_at = await held_until(api, f"host:127.0.0.1:{receiver.port}")
        assert (opens_at is not None) == (value in FOR_LONG)
        assert opens_at is None or opens_at <= datetime.now(UTC) + timedelta(hours=1)
        await goes_on(api, webhook(receiver.url("other").replace("127.0.0.1", "localhost")))


@pytest.mark.parametrize("seconds", ["1e308", "inf", "nan", "-5", "1e-9"])
async def test_hold_lane_of_any_value_breaks_no_worker_and_holds_the_lane_for_a_day_at_most(
    settings: Settings, gates: dict[str, Gate], seconds: str
) -> None:
    async with working(settings) as api:
        [job_id] = await enqueue(api, {"kind": "holds_lane", "args": {"seconds": seconds}})
        await retrying(api, job_id)
        opens_at = await held_until(api, "dest:busy")
        assert opens_at is None or opens_at <= datetime.now(UTC) + timedelta(days=1)
        gates["free"].let_out()
        await goes_on(api, at_gate("free", lane="other"))


async def retrying(api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    async def check() -> dict[str, Any]:
        job: dict[str, Any] = (await api.get(f"/v1/jobs/{job_id}")).json()
        return job if job["state"] == "retrying" else {}

    return await eventually(check)


async def held_until(api: httpx.AsyncClient, lane: str) -> datetime | None:
    """Return when the breaker of a lane lets one through; None while it is closed."""
    breaker = (await api.get(f"/v1/lanes/{lane}")).raise_for_status().json()["breaker"]
    return None if breaker["until"] is None else datetime.fromisoformat(breaker["until"])


async def goes_on(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Check that the worker performs another job."""
    [job_id] = await enqueue(api, body)
    answer = await api.get(f"/v1/jobs/{job_id}", params={"wait": 20})
    assert answer.json()["state"] == "succeeded"


@pytest.mark.short
async def test_lanes_that_are_empty_leave_nothing_behind_in_redis(settings: Settings, redis: Redis) -> None:
    count = 10_000 if WHOLE else 1_000
    settings = settings.model_copy(update={"max_jobs": 100})
    limits: list[dict[str, Any]] = [{}, {"concurrency": 2}, {"rate": {"limit": 5, "per": 1}}, {"order": "strict"}]
    async with working(settings) as api:
        for first in range(0, count, 500):
            numbers = range(first, first + 500)
            lanes = [{"key": f"tenant:{number}", **limits[number % 4]} for number in numbers]
            stat = {"kind": "update_stats", "args": {"subject": "page", "event": "view"}}
            await enqueue(api, *[{**stat, "lane": lane} for lane in lanes])

        async def all_have_run() -> bool:
            return len((await api.get("/v1/jobs", params={"state": "queued", "limit": 1})).json()["jobs"]) == 0

        await eventually(all_have_run, 100)
        left: set[bytes] = set()

        async def nothing_is_left() -> bool:
            left.clear()
            left.update([key async for key in redis.scan_iter(match="postlude:lane*:*", count=1000)])
            return not left and not await redis.exists("postlude:lanes")

        try:
            await eventually(nothing_is_left, 30)
        except TimeoutError:
            raise AssertionError(f"{len(left)} keys are left: {sorted(left)[:10]}") from None
