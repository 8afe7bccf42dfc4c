"""Jobs of plain arq clients: they land in the ledger, and the client sees arq's own protocol."""

import asyncio
import json
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.jobs import Job, JobStatus, ResultNotFound, SerializationError
from pydantic import BaseModel, SecretStr
from redis.asyncio import Redis

from jobs import Context, Retry, RetryPolicy, job
from service.ledger.reads.counts import tally_totals
from service.ledger.reads.failures import groups
from service.ledger.reads.standings import standings_of
from service.queue import deserialize, key_of, serialize
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.proxy import proxying
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import RedisServer

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

MINUTE = timedelta(minutes=1)


class Args(BaseModel):
    name: str
    token: SecretStr | None = None


class Nothing(BaseModel): ...


@job("greet", retry=RetryPolicy(delays=(0.001,)))
async def greet(ctx: Context, args: Args) -> dict[str, str]:
    if args.name == "twice" and ctx.attempt == 1:
        raise ValueError("once more")
    if args.name == "later" and ctx.attempt == 1:
        raise Retry("not yet", after=1.5)
    if args.name == "never":
        raise ValueError("no")
    return {"hello": args.name, "token": args.token.get_secret_value() if args.token else ""}


class Hold:
    """A kind whose jobs run until `over` is set."""

    def __init__(self) -> None:
        self.over = over = asyncio.Event()

        @job("hold")
        async def run(_ctx: Context, _args: Nothing) -> str:
            await over.wait()
            return "held"

        self.kind = run


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, greet) as opened, running_worker(settings, catalogue_of(greet)):
        yield opened


@pytest.fixture
async def arq_client(redis: Redis, redis_server: RedisServer) -> AsyncIterator[ArqRedis]:
    pool = await create_pool(
        RedisSettings(unix_socket_path=str(redis_server.socket)),
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    yield pool
    await pool.aclose(close_connection_pool=True)


async def _enqueue(client: ArqRedis, *args: Any, _id: str | None = None, **kwargs: Any) -> Job:
    arq_job = await client.enqueue_job("greet", *args, _job_id=_id, **kwargs)
    assert arq_job is not None
    return arq_job


async def test_result_and_status_reach_the_client_and_the_ledger(desk: Desk, arq_client: ArqRedis) -> None:
    arq_job = await _enqueue(arq_client, name="Ann", token="s3cret")
    assert await arq_job.result(timeout=10, poll_delay=0.02) == {"hello": "Ann", "token": "s3cret"}
    assert await arq_job.status() is JobStatus.complete
    row = await desk.row(arq_job.job_id)
    assert (row["state"], row["arq_id"]) == ("succeeded", arq_job.job_id)
    assert "s3cret" not in row["args"]


async def test_nothing_but_the_result_is_left_in_redis(desk: Desk, arq_client: ArqRedis, redis: Redis) -> None:
    arq_job = await _enqueue(arq_client, name="Ann")
    await arq_job.result(timeout=10, poll_delay=0.02)
    keys = {key.decode() for key in await redis.keys("arq:*")}
    assert {key for key in keys if arq_job.job_id in key} == {f"arq:result:{arq_job.job_id}"}
    assert 3500 < await redis.ttl(f"arq:result:{arq_job.job_id}") <= 3600
    assert await redis.zcard(key_of("default")) == 0


async def test_retries_are_the_ledgers_and_the_client_waits_through_them(desk: Desk, arq_client: ArqRedis) -> None:
    arq_job = await _enqueue(arq_client, name="twice")
    assert (await arq_job.result(timeout=10, poll_delay=0.02))["hello"] == "twice"
    assert await desk.outcomes(arq_job.job_id) == ["failed", "succeeded"]


async def test_failure_reaches_the_client_with_its_cause(desk: Desk, arq_client: ArqRedis) -> None:
    arq_job = await _enqueue(arq_client, name="never")
    with pytest.raises(SerializationError, match=r"^no$"):
        await arq_job.result(timeout=20, poll_delay=0.02)


@pytest.mark.parametrize(("args", "kwargs"), [(("Ann",), {}), ((), {"nmae": "Ann"}), ((), {"name": 7})])
async def test_args_that_do_not_fit_end_as_a_failed_row(
    desk: Desk, arq_client: ArqRedis, args: tuple[str, ...], kwargs: dict[str, Any]
) -> None:
    arq_job = await _enqueue(arq_client, *args, **kwargs)
    with pytest.raises(SerializationError, match="args"):
        await arq_job.result(timeout=10, poll_delay=0.02)
    row = await desk.row(arq_job.job_id)
    assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "ArgsInvalid", 0)
    async with desk.ledger.read() as connection:
        [group] = await groups(connection, since=datetime.now(UTC) - timedelta(hours=1))
        totals = {(kind, event): count for kind, event, count in await tally_totals(connection)}
    assert (group.fingerprint, group.kind, group.jobs_failed) == (row["fingerprint"], row["kind"], 1)
    assert totals[row["kind"], "failed"] == 1


async def test_id_whose_row_is_terminal_becomes_a_new_tagged_job(
    desk: Desk, arq_client: ArqRedis, redis: Redis
) -> None:
    first = await _enqueue(arq_client, _id="mine", name="one")
    await first.result(timeout=10, poll_delay=0.02)
    await redis.delete("arq:result:mine")
    second = await _enqueue(arq_client, _id="mine", name="two")
    assert (await second.result(timeout=10, poll_delay=0.02))["hello"] == "two"
    assert json.loads((await desk.row("mine"))["result"])["hello"] == "one"


async def test_args_too_large_end_as_a_failed_row_and_keep_nobody_waiting(desk: Desk, arq_client: ArqRedis) -> None:
    large = await _enqueue(arq_client, name="x" * 300_000)
    small = await _enqueue(arq_client, name="Ann")
    assert (await small.result(timeout=10, poll_delay=0.02))["hello"] == "Ann"
    with pytest.raises(SerializationError, match="larger"):
        await large.result(timeout=10, poll_delay=0.02)


@pytest.mark.usefixtures("swept_at_once")
async def test_reused_id_survives_a_wiped_redis(desk: Desk, arq_client: ArqRedis, redis: Redis) -> None:
    await (await _enqueue(arq_client, _id="mine", name="one")).result(timeout=10, poll_delay=0.02)
    await redis.delete("arq:result:mine")
    await _enqueue(arq_client, _id="mine", name="later")

    async def waits() -> str | None:
        async with desk.ledger.read() as connection:
            standing = (await standings_of(connection, ["mine"])).get("mine")
        return standing.id if standing is not None and standing.id != "mine" else None

    job_id = await eventually(waits)
    assert job_id is not None
    await redis.flushall()
    assert (await desk.ended(job_id))["state"] == "succeeded"


async def test_outcomes_are_recorded_while_redis_is_silent_and_clients_learn_of_them_afterwards(
    settings: Settings, arq_client: ArqRedis, redis_server: RedisServer, short_dir: Path
) -> None:
    hold = Hold()
    async with proxying(redis_server.socket, short_dir / "silent.sock") as proxy:
        behind = settings.model_copy(update={"redis_url": f"unix://{proxy.listen}"})
        async with open_desk(settings, hold.kind) as desk, running_worker(behind, desk.resources.catalogue):
            adopted = [await arq_client.enqueue_job("hold") for _ in range(40)]
            own = [await desk.enqueue(hold.kind) for _ in range(40)]
            ids = [job.job_id for job in adopted if job] + own
            for job_id in ids:
                await desk.running(job_id)
            proxy.black_hole = True
            hold.over.set()
            async with asyncio.timeout(8):  # one wait for Redis alone takes 3 s
                for job_id in ids:
                    assert (await desk.ended(job_id))["state"] == "succeeded"
            proxy.black_hole = False
            proxy.reset()
            for job in adopted:
                assert job is not None
                assert await job.result(timeout=20, poll_delay=0.02) == "held"


async def test_claim_of_many_adopted_jobs_takes_few_round_trips(
    settings: Settings, arq_client: ArqRedis, redis_server: RedisServer, short_dir: Path
) -> None:
    async with proxying(redis_server.socket, short_dir / "slow.sock") as proxy:
        proxy.latency_s = 0.05
        behind = settings.model_copy(update={"redis_url": f"unix://{proxy.listen}"})
        jobs = [await _enqueue(arq_client, name="Ann") for _ in range(100)]
        began = time.monotonic()
        async with running_worker(behind, catalogue_of(greet)):
            for job in jobs:
                await job.result(timeout=30, poll_delay=0.02)
        # Payload, hold and result for each of them on its own are 300 round trips: 30 s and more.
        assert time.monotonic() - began < 15


async def test_adopted_job_in_progress_in_redis_is_released_when_its_worker_is_dead(
    settings: Settings, arq_client: ArqRedis
) -> None:
    async with open_desk(settings, greet) as desk:
        arq_job = await _enqueue(arq_client, name="Ann")
        await desk.record_only(
            greet, {"name": "Ann"}, id=arq_job.job_id, arq_id=arq_job.job_id, created_at=datetime.now(UTC) - MINUTE
        )
        await desk.queue.arq.hold({arq_job.job_id: 900})
        # Every claim that meets it moves it ahead.
        await arq_client.zadd(key_of("default"), {arq_job.job_id: (time.time() + 900) * 1000})
        async with running_worker(settings, catalogue_of(greet)):
            assert (await arq_job.result(timeout=20, poll_delay=0.02))["hello"] == "Ann"


async def test_pickled_payload_is_removed_and_never_loaded(
    desk: Desk, arq_client: ArqRedis, redis_server: RedisServer
) -> None:
    pickling = await create_pool(RedisSettings(unix_socket_path=str(redis_server.socket)))
    bomb = pickle.dumps({"t": None, "f": "greet", "a": (), "k": {"name": _Bomb()}, "et": 1})
    await pickling.set("arq:job:bomb", bomb)
    await pickling.zadd(key_of("default"), {"bomb": 1})
    await eventually(_removed(pickling, "bomb"))
    await pickling.aclose(close_connection_pool=True)
    assert not _Bomb.went_off


async def test_unknown_kind_of_an_arq_client_waits_for_a_worker_that_knows_it(
    desk: Desk, arq_client: ArqRedis, redis: Redis
) -> None:
    unknown = await arq_client.enqueue_job("newer", x=1)
    assert unknown is not None
    await (await _enqueue(arq_client, name="Ann")).result(timeout=10, poll_delay=0.02)
    assert await unknown.status() in (JobStatus.queued, JobStatus.deferred)
    assert await redis.exists(f"arq:job:{unknown.job_id}")


async def test_arq_client_does_not_find_an_unknown_job(desk: Desk, arq_client: ArqRedis) -> None:
    with pytest.raises(ResultNotFound):
        await Job("nothing", arq_client).result(timeout=1)


class _Bomb:
    went_off = False

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return setattr, (_Bomb, "went_off", True)


def _removed(client: ArqRedis, member: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await client.zscore(key_of("default"), member) is None and not await client.exists(f"arq:job:{member}")

    return check
