"""Lanes with real workers: nobody's backlog delays anybody else, and no limit is exceeded."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from signal import Signals
from typing import Any

import arq
import arq.connections
import pytest
from redis.asyncio import Redis
from sqlalchemy import update

from jobs import Lane, Rate
from jobs.webhook.kind import send_webhook
from service.ledger.clock import now_by
from service.ledger.reads import lanes as reads
from service.ledger.records.lanes import Said, record_rebuild, record_rule
from service.queue import deserialize, serialize
from service.settings import Settings
from service.tables import jobs
from service.worker.claiming.pauses import Pauses
from service.worker.keeping.lanes import LaneKeeping
from tests.service.worker.desk import Desk, open_desk
from tests.support import journey_kinds
from tests.support.lane_kinds import flaky, gauge, plain, visit
from tests.support.raw_receiver import Line, raw_receiver
from tests.support.rescuing import let_it_rescue, let_the_rescue_be_now
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import RedisServer
from tests.support.worker_process import worker_process
from tests.support.writing import writing

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("fresh_gauge"),
]


KINDS = (visit, plain, flaky, send_webhook)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS) as opened:
        yield opened


@asynccontextmanager
async def working(settings: Settings, workers: int = 1, **changes: Any) -> AsyncIterator[None]:
    settings = settings.model_copy(update={"max_jobs": 16, "webhook_allow": (ip_network("127.0.0.0/8"),), **changes})
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(running_worker(settings, catalogue_of(*KINDS)))
        yield


async def say(desk: Desk, key: str, **said: Any) -> None:
    """Do what `PUT /v1/lanes/{key}` does."""
    wish = Said(**said)  # type: ignore[typeddict-item]
    await desk.ledger.database.run(lambda connection: record_rule(connection, key, wish, now_by(connection)))
    async with desk.ledger.read() as connection:
        rules = await reads.rules(connection)
    await desk.queue.lanes.apply(rules)


async def ended(desk: Desk, ids: Sequence[str]) -> list[str]:
    return [(await desk.ended(job_id))["state"] for job_id in ids]


async def until_running(lane: str, count: int) -> None:
    async def run() -> bool:
        return gauge.now[lane] >= count

    await eventually(run)


def event(url: str) -> dict[str, Any]:
    return {"url": url, "event": "invoice.paid", "data": {}}


async def test_six_hundred_webhooks_to_a_receiver_that_never_answers_delay_nothing_else(
    desk: Desk, settings: Settings
) -> None:
    async def silent(line: Line) -> None:
        await line.request()
        await line.hung_up()

    async with raw_receiver(silent) as dead, working(settings):
        for _ in range(600):
            await desk.enqueue(send_webhook, event(dead.url), timeout=timedelta(minutes=10))

        async def all_of_its_share() -> bool:
            return len(dead.requests) == 4  # a quarter of 16 slots

        await eventually(all_of_its_share)
        for number in range(20):
            await desk.ended(await desk.enqueue(visit, {"name": f"mail-{number}", "host": "b"}))
        assert len(dead.requests) == 4, "no slot was waited for"


async def test_lane_runs_no_more_at_once_than_its_limit_over_two_workers(desk: Desk, settings: Settings) -> None:
    lane = Lane("tenant:1", concurrency=3)
    ids = [await desk.enqueue(plain, {"name": f"{n}", "seconds": 0.02}, lane=lane) for n in range(60)]
    async with working(settings, workers=2):
        assert set(await ended(desk, ids)) == {"succeeded"}
    assert gauge.most["plain"] == 3


async def test_both_lanes_of_a_job_are_kept(desk: Desk, settings: Settings) -> None:
    await say(desk, "host:a", concurrency=2)
    lane = Lane("tenant:1", concurrency=5)
    ids = [await desk.enqueue(visit, {"host": "a", "seconds": 0.02}, lane=lane) for _ in range(20)]
    ids += [await desk.enqueue(visit, {"host": "b", "seconds": 0.02}, lane=lane) for _ in range(20)]
    async with working(settings, workers=2):
        assert set(await ended(desk, ids)) == {"succeeded"}
    assert gauge.most["host:a"] == 2
    assert gauge.most["host:b"] <= 5


async def test_limit_that_is_changed_holds_from_the_next_claim_on(desk: Desk, settings: Settings) -> None:
    async with working(settings):
        lane = Lane("tenant:1", concurrency=1)
        waiting = [await desk.enqueue(plain, {"waits": True}, lane=lane) for _ in range(6)]
        await until_running("plain", 1)
        await say(desk, "tenant:*", concurrency=4)
        await until_running("plain", 4)
        gauge.go_on.set()
        assert set(await ended(desk, waiting)) == {"succeeded"}
    assert gauge.most["plain"] == 4


async def test_strict_lane_keeps_its_order_through_retries(desk: Desk, settings: Settings) -> None:
    lane = Lane("account:1", order="strict")
    names = [f"{number}" for number in range(12)]
    ids = [await desk.enqueue(flaky, {"name": name, "waits": int(name) % 4 == 0}, lane=lane) for name in names]
    async with working(settings, workers=2):
        assert set(await ended(desk, ids)) == {"succeeded"}
    assert [name for name, _ in itertools.groupby(gauge.begun)] == names
    assert gauge.most["flaky"] == 1


async def test_strict_lane_goes_on_when_its_waiting_head_is_cancelled(desk: Desk, settings: Settings) -> None:
    lane = Lane("account:1", order="strict")
    head = await desk.enqueue(plain, {"name": "head"}, lane=lane, delay=timedelta(hours=1))
    async with working(settings):
        second = await desk.enqueue(plain, {"name": "second"}, lane=lane)
        await desk.ended(await desk.enqueue(plain, {"name": "other"}))
        await desk.lifecycle.cancel(head)
        assert await ended(desk, [second]) == ["succeeded"]
    assert gauge.begun == ["other", "second"]


async def test_breaker_opens_lets_one_probe_through_and_closes(desk: Desk, settings: Settings, redis: Redis) -> None:
    gauge.failing.add("a")
    async with working(settings):
        ids = [await desk.enqueue(visit, {"name": f"{number}", "host": "a"}) for number in range(10)]

        async def breaker(state: str) -> bool:
            return (await desk.queue.lanes.states(["host:a"]))["host:a"].breaker == state

        await eventually(partial(breaker, "open"))
        state = (await desk.queue.lanes.states(["host:a"]))["host:a"]
        assert "nobody listens" in (state.breaker_reason or "")
        assert await ended(desk, [await desk.enqueue(visit, {"host": "b"})]) == ["succeeded"]

        async def noted() -> bool:
            async with desk.ledger.read() as connection:
                rule = await reads.find_rule(connection, "host:a")
            return rule is not None and rule.breaker_state == "open"

        await eventually(noted)
        gauge.failing.clear()
        before = len(gauge.begun)
        await say(desk, "host:a", breaker_forced="closed")
        assert set(await ended(desk, ids)) == {"succeeded"}
        assert len(gauge.begun) > before


async def test_paused_kind_and_paused_queue_start_nothing_until_they_are_resumed(
    desk: Desk, settings: Settings
) -> None:
    async with working(settings, queues=("default", "other")):
        await say(desk, "kind:plain", paused=True)
        await say(desk, "queue:other", paused=True)
        held = [
            await desk.enqueue(plain, {"name": "kind"}),
            await desk.enqueue(visit, {"name": "queue"}, queue="other"),
        ]
        assert await ended(desk, [await desk.enqueue(visit, {"name": "free"})]) == ["succeeded"]
        assert gauge.begun == ["free"]
        await say(desk, "kind:plain", paused=False)
        await say(desk, "queue:other", paused=False)
        assert set(await ended(desk, held)) == {"succeeded"}


async def test_thousand_held_jobs_ahead_of_a_free_one_do_not_delay_it(desk: Desk, settings: Settings) -> None:
    await say(desk, "tenant:held", paused=True)
    for number in range(1_000):
        await desk.enqueue(plain, {"name": f"held-{number}"}, lane="tenant:held")
    async with working(settings):
        free = await desk.enqueue(plain, {"name": "free"})
        other = await desk.enqueue(plain, {"name": "other"}, lane="tenant:other")
        assert await ended(desk, [free, other]) == ["succeeded", "succeeded"]
    assert sorted(gauge.begun) == ["free", "other"]


async def test_kind_that_hangs_leaves_slots_to_others(desk: Desk, settings: Settings) -> None:
    for number in range(40):
        await desk.enqueue(plain, {"name": f"slow-{number}", "waits": True})
    async with working(settings):
        await until_running("plain", 14)
        free = [await desk.enqueue(flaky, {"name": f"free-{number}"}) for number in range(5)]
        assert set(await ended(desk, free)) == {"succeeded"}
        assert gauge.now["plain"] == 14
        gauge.go_on.set()


async def test_limits_hold_through_a_flushall_while_jobs_of_lanes_run(
    desk: Desk, settings: Settings, redis: Redis, swept_at_once: None
) -> None:
    lane = Lane("tenant:1", concurrency=3)
    ids = [await desk.enqueue(plain, {"name": f"{number}", "waits": True}, lane=lane) for number in range(9)]
    async with working(settings, workers=2):
        await until_running("plain", 3)
        await redis.flushall()

        async def rebuilt() -> bool:
            return await desk.queue.lanes.built_epoch() is not None

        await eventually(rebuilt)
        ids += [await desk.enqueue(plain, {"name": f"new-{number}"}, lane=lane) for number in range(3)]
        assert await ended(desk, [await desk.enqueue(plain, {"name": "free"})]) == ["succeeded"]
        assert gauge.now["plain"] == 3
        gauge.go_on.set()
        assert set(await ended(desk, ids)) == {"succeeded"}
    assert gauge.most["plain"] <= 4, "three of the lane, and the free one"


async def test_strict_order_survives_a_worker_that_is_killed(
    settings: Settings, tmp_path: Path, swept_at_once: None
) -> None:
    settings = settings.model_copy(update={"jobs": ("tests.support.journey_kinds",)})
    lane = Lane("account:1", order="strict")
    async with open_desk(settings, journey_kinds.rest) as desk:
        async with worker_process(settings, tmp_path) as worker:
            head = await desk.enqueue(journey_kinds.rest, {"first_seconds": 60}, lane=lane)
            others = [await desk.enqueue(journey_kinds.rest, lane=lane) for _ in range(3)]
            await desk.running(head)
            worker.send(Signals.SIGKILL)
            await worker.ended(30)
        await let_the_rescue_be_now(desk.ledger)
        async with running_worker(settings, catalogue_of(journey_kinds.rest)):
            await let_it_rescue(desk.ledger)
            rows = [await eventually(partial(_ended, desk, job_id), 90) for job_id in (head, *others)]
    assert [row["state"] for row in rows] == ["succeeded"] * 4
    assert [row["attempt"] for row in rows] == [2, 1, 1, 1]
    for before, after in itertools.pairwise(rows):
        assert before["finished_at"] <= after["started_at"]


async def _ended(desk: Desk, job_id: str) -> Any:
    row = await desk.row(job_id)
    return row if row["finished_at"] else None


async def test_jobs_of_arq_clients_keep_to_the_lanes_of_their_kinds_and_their_clients_get_results(
    desk: Desk, settings: Settings, redis_server: RedisServer
) -> None:
    await say(desk, "host:a", concurrency=1)
    servers = arq.connections.RedisSettings(unix_socket_path=str(redis_server.socket))
    pool = await arq.create_pool(servers, job_serializer=serialize, job_deserializer=deserialize)
    sent = [await pool.enqueue_job("visit", name=f"{number}", host="a", seconds=0.05) for number in range(4)]
    async with working(settings, workers=2):
        for one in sent:
            assert one is not None
            assert await one.result(timeout=30, poll_delay=0.05) is None
    await pool.aclose(close_connection_pool=True)
    assert gauge.most["host:a"] == 1
    assert len(gauge.begun) == 4


async def test_burst_worker_builds_lanes_before_it_ends(desk: Desk, settings: Settings) -> None:
    ids = [await desk.enqueue(visit, {"host": f"{number}"}) for number in range(3)]
    async with running_worker(settings, catalogue_of(*KINDS), burst=True):
        assert set(await ended(desk, ids)) == {"succeeded"}


@pytest.mark.parametrize("crashes", [0, 1])
async def test_burst_worker_stays_for_jobs_whose_claims_a_rebuild_has_ended(
    desk: Desk, settings: Settings, crashes: int
) -> None:
    assert await LaneKeeping(desk.ledger, desk.queue).build()
    ids = [await desk.enqueue(visit, {"host": f"{number}"}) for number in range(3)]
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(crashes=crashes))
    await desk.ledger.database.run(partial(record_rebuild, epoch="of another"))
    async with running_worker(settings, catalogue_of(*KINDS), burst=True):
        assert set(await ended(desk, ids)) == {"succeeded"}


async def test_burst_worker_stays_until_what_rates_hold_back_is_done(desk: Desk, settings: Settings) -> None:
    lane = Lane("slow", rate=Rate(2, per=0.5))
    ids = [await desk.enqueue(plain, lane=lane) for _ in range(6)]
    held = await desk.enqueue(plain, lane="held")
    await say(desk, "held", paused=True)
    async with running_worker(settings, catalogue_of(*KINDS), burst=True) as worker:

        async def over() -> bool:
            return worker.main_task is not None and worker.main_task.done()

        await eventually(over, 30)
    assert [(await desk.row(job_id))["state"] for job_id in ids] == ["succeeded"] * 6
    assert (await desk.row(held))["state"] == "queued"


async def test_empty_lanes_leave_nothing_in_redis(desk: Desk, settings: Settings, redis: Redis) -> None:
    async with working(settings):
        ids = [await desk.enqueue(visit, {"host": f"h{number}"}, lane=f"tenant:{number}") for number in range(20)]
        assert set(await ended(desk, ids)) == {"succeeded"}

        async def nothing() -> bool:
            return not [key async for key in redis.scan_iter("postlude:lane*") if b":lanes-" not in key]

        await eventually(nothing)


async def test_a_new_worker_knows_what_is_paused_before_it_claims_anything(desk: Desk) -> None:
    pauses = Pauses(desk.ledger)
    await say(desk, "queue:default", paused=True)
    assert await pauses.names() == ("queue:default",)
