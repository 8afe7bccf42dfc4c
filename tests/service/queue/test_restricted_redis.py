"""A Redis user with limited rights: the documented rights are enough, and missing ones are always reported."""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from arq.connections import create_pool
from pydantic import BaseModel
from redis.asyncio import Redis
from structlog.testing import capture_logs

from jobs import Context, Retry, job
from service.durability import Durability, risky_in_redis
from service.lane_rules import Rule
from service.ledger.database import Database
from service.queue import (
    Entry,
    Probe,
    Queue,
    Release,
    Room,
    Runs,
    Verdict,
    arq_settings,
    deserialize,
    open_redis,
    serialize,
)
from service.settings import Settings
from tests.service.worker.desk import open_desk
from tests.support.running import catalogue_of, eventually, running_api, running_worker
from tests.support.servers import RedisServer

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NOT_DANGEROUS = ("~*", "&*", "+@all", "-@dangerous")
_numbers = itertools.count(1)


def documented_rules() -> tuple[str, ...]:
    """Read the smallest rights from the page that promises them."""
    page = (Path(__file__).parents[3] / "docs" / "production.md").read_text()
    found = re.search(r"ACL SETUSER postlude on >\S+ (.*?)\n```", page, re.DOTALL)
    assert found is not None
    return tuple(found.group(1).replace("\\\n", " ").split())


@pytest.fixture
def server(short_dir: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, whose users may be changed."""
    own = RedisServer(short_dir / f"acl{next(_numbers)}")
    own.start()
    yield own
    own.stop()


def as_user(settings: Settings, server: RedisServer, *rules: str) -> Settings:
    return settings.model_copy(update={"redis_url": server.add_user("ann", *rules)})


class Args(BaseModel): ...


@job("restricted_retry", max_attempts=2)
async def restricted_retry(ctx: Context, _args: Args) -> None:
    if ctx.attempt == 1:
        raise Retry("once more", after=0.2)


@job("restricted_tick", cron="* * * * * *")
async def restricted_tick(_ctx: Context, _args: Args) -> None: ...


@on_sqlite
@pytest.mark.parametrize("rules", ["not dangerous", "documented"])
@pytest.mark.short("sqlite")
async def test_the_smallest_documented_rights_are_enough_for_everything(
    settings: Settings, server: RedisServer, monkeypatch: pytest.MonkeyPatch, rules: str
) -> None:
    monkeypatch.setattr("service.lifecycle.dispatch.HORIZON", timedelta(0))  # what is delayed goes by the sweep
    monkeypatch.setattr("service.ledger.reads.dispatching.GRACE_BEFORE_DISPATCH", timedelta(0))
    restricted = as_user(settings, server, *(NOT_DANGEROUS if rules == "not dangerous" else documented_rules()))
    kinds = (restricted_retry, restricted_tick)
    admin = Redis.from_url(server.url)
    async with (
        running_worker(restricted, catalogue_of(*kinds)),
        running_api(restricted) as api,
        open_desk(restricted, *kinds) as desk,
    ):
        retried = await desk.enqueue(restricted_retry)
        delayed = await desk.enqueue(restricted_retry, delay=timedelta(seconds=1))
        unwanted = await desk.enqueue(restricted_retry, delay=timedelta(hours=1))
        await desk.lifecycle.cancel(unwanted)
        assert [(await desk.ended(one))["state"] for one in (retried, delayed, unwanted)] == [
            "succeeded",
            "succeeded",
            "cancelled",
        ]
        # The sweep puts what is due soon: here some seconds before a worker may take it.
        lost = await desk.enqueue(restricted_retry, delay=timedelta(seconds=6))

        async def on_the_queue() -> bool:
            return bool(await admin.zrem("arq:queue", lost))

        await eventually(on_the_queue)
        await admin.delete(f"arq:job:{lost}")
        assert (await desk.ended(lost))["state"] == "succeeded"

        clients = server.add_user("client", "~*", "+@all", "-@dangerous")
        pool = await create_pool(arq_settings(clients), job_serializer=serialize, job_deserializer=deserialize)
        adopted = await pool.enqueue_job("restricted_retry")
        assert adopted is not None
        await adopted.result(timeout=30)
        await pool.aclose(close_connection_pool=True)

        async def ready() -> bool:
            return bool((await api.get("/readyz")).json()["status"] == "ready")

        await eventually(ready)
        assert "postlude_redis_refusals 0.0" in (await api.get("/metrics")).text
    await admin.aclose()


@pytest.mark.parametrize("rules", ["not dangerous", "documented"])
async def test_the_smallest_documented_rights_are_enough_for_lanes(server: RedisServer, rules: str) -> None:
    redis = open_redis(server.add_user("ann", *(NOT_DANGEROUS if rules == "not dangerous" else documented_rules())))
    queue = Queue(redis)
    kept = [
        Rule("t", concurrency=2, rate_limit=9, rate_per_s=0.001),
        Rule("u*", strict=True),
        Rule("kind:x", paused=True),
    ]
    await queue.lanes.rebuild(await queue.epoch(), kept, [Runs("y", ("u",), "default")], first=True)
    entries = [Entry(one, "greet", "default", datetime.now(UTC), lanes=("t", "v")) for one in "abc"]
    await queue.put([*entries, Entry("d", "x", "default", datetime.now(UTC))])
    taken = await queue.claim(["default"], Room(9, 9))
    assert sorted(one.member for one in taken.claimed) == [b"a", b"b"]
    await queue.put_back(entries[:1])
    await queue.remove("default", [b"b"])
    await queue.lanes.release([Release("b", ("t", "v"), Verdict(alive=False))])
    await queue.lanes.started([Runs("a", ("t", "v"), "default")])
    await queue.lanes.set_head("u", "z", datetime.now(UTC))
    await queue.prioritise(entries)
    await queue.lanes.apply([])
    assert await queue.lanes.count() > 1
    assert [one.id async for one in queue.lanes.running()] == ["y"]
    assert (await queue.lanes.states(["v"]))["v"].failures == 1
    assert await queue.next_due_ms(["default"], taken.left) is not None
    await redis.aclose(close_connection_pool=True)


async def test_a_wiped_redis_is_a_new_epoch_even_without_info(server: RedisServer) -> None:
    redis = open_redis(server.add_user("ann", *NOT_DANGEROUS))
    before = await Queue(redis).epoch()
    assert await Queue(redis).epoch() == before
    async with Redis.from_url(server.url) as admin:
        await admin.flushall()
    assert await Queue(redis).epoch() != before
    await redis.aclose(close_connection_pool=True)


@on_sqlite
@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("~*", "+@all", "-zadd"), "ZADD"),
        (("~*", "+@all", "-zmscore"), "ZMSCORE"),
        (("~*", "+@all", "-evalsha"), "EVALSHA"),
        (("~*", "+@all", "-multi"), "MULTI"),
        (("~arq:*", "+@all"), "keys postlude:epoch"),
        (("~postlude:*", "~arq:queue", "+@all"), "keys arq:job:*"),
    ],
)
async def test_a_missing_right_is_named_in_readiness_metrics_and_log(
    settings: Settings, server: RedisServer, rules: tuple[str, ...], named: str
) -> None:
    async with running_api(as_user(settings, server, *rules)) as api:
        ready = (await api.get("/readyz")).json()
        metrics = (await api.get("/metrics")).text
        assert (await api.post("/v1/jobs", json={"kind": "cleanup"})).status_code == 202
    assert ready["status"] == "degraded"
    assert named in ready["checks"]["redis"]
    assert "docs/production.md" in ready["checks"]["redis"]
    assert "postlude_redis_refusals 0.0" not in metrics
    redis = open_redis(server.add_user("ann", *rules))
    database = Database.open(settings.sqlalchemy_url)
    with capture_logs() as lines:
        await Durability(database, redis, settings.queues).check()
    await redis.aclose(close_connection_pool=True)
    await database.close()
    told = [line for line in lines if line["event"] == "redis_refuses"]
    assert [line["log_level"] for line in told] == ["error"]
    assert named in told[0]["commands"]


async def test_a_replica_and_a_full_redis_say_what_they_are(server: RedisServer) -> None:
    redis = open_redis(server.url)
    await redis.replicaof("127.0.0.1", "1")
    assert "read-only replica" in str(await Probe(redis, ["default"]).refusals())
    await redis.replicaof("NO", "ONE")
    await redis.config_set("maxmemory", 1)
    assert "maxmemory" in str(await Probe(redis, ["default"]).refusals())
    await redis.config_set("maxmemory", 0)
    assert await Probe(redis, ["default"]).refusals() == ()
    assert [key async for key in redis.scan_iter("*probe*")] == []
    await redis.aclose(close_connection_pool=True)


@on_sqlite
async def test_a_password_that_was_changed_is_told_apart_from_a_redis_that_is_away(
    settings: Settings, server: RedisServer
) -> None:
    restricted = as_user(settings, server, *NOT_DANGEROUS)
    server.add_user("ann", *NOT_DANGEROUS, password="another")
    async with running_api(restricted) as api:
        check = (await api.get("/readyz")).json()["checks"]["redis"]
        assert "postlude_redis_up 0.0" in (await api.get("/metrics")).text
    assert "POSTLUDE_REDIS_URL is missing or wrong" in check
    assert "p@ss" not in check


async def test_a_policy_that_cannot_be_read_is_unknown_and_not_fine(server: RedisServer) -> None:
    redis = open_redis(server.add_user("ann", *NOT_DANGEROUS))
    assert list(await risky_in_redis(redis)) == ["Redis maxmemory-policy is not known"]
    await redis.aclose(close_connection_pool=True)


async def test_arqs_own_clients_are_told_the_same_user_and_password(server: RedisServer) -> None:
    url = server.add_user("a@b", *NOT_DANGEROUS, password="p@ss/w#rd?1% ")
    pool = await create_pool(arq_settings(url))
    assert await pool.ping()
    await pool.aclose(close_connection_pool=True)
