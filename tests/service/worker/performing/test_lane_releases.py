"""A job leaves its lanes once its attempt's end is recorded; the release is repeated if Redis was away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from jobs import Context, Kind, job
from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish, Finished, Started
from service.ledger.reads.lanes import find_rule
from service.ledger.states import Outcome, State
from service.queue import Entry, Queue, Release, Room, Runs, Verdict, open_redis
from service.settings import Settings
from service.worker.keeping.lanes import LaneKeeping
from service.worker.performing import lane_releases
from service.worker.performing.lane_releases import LaneReleases, release_after
from tests.service.worker.desk import Desk, open_desk
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import RedisServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STARTED = Started(
    "j1", "quick", 1, 0, 0, 5, "{}", None, "default", None, NOW, "w", NOW, kind_lane="host:a", claimed_ms=7
)


@pytest.fixture
async def proxy(redis: Redis, redis_server: RedisServer, short_dir: Path) -> AsyncIterator[FaultProxy]:
    async with proxying(redis_server.socket, short_dir / "releases.sock") as opened:
        yield opened


@pytest.fixture
async def queue(proxy: FaultProxy) -> AsyncIterator[Queue]:
    client = open_redis(f"unix://{proxy.listen}")
    yield Queue(client)
    await client.aclose(close_connection_pool=True)


def _finish(outcome: Outcome, state: State, **fields: object) -> Finish:
    return Finish("j1", "quick", 1, "w", outcome, state, NOW, **fields)  # type: ignore[arg-type]


def test_job_that_goes_on_keeps_its_strict_lanes_and_one_that_has_ended_does_not() -> None:
    goes_on = release_after(
        STARTED,
        _finish(Outcome.FAILED, State.RETRYING, answered=False, failure=Failure("ConnectFailed", "no answer")),
        Finished(State.RETRYING, NOW + timedelta(hours=1), "default"),
    )
    verdict = Verdict(alive=False, hold_s=None, reason="ConnectFailed: no answer")
    assert goes_on == Release("j1", ("host:a",), verdict, NOW + timedelta(hours=1), 7)
    over = release_after(
        STARTED, _finish(Outcome.SUCCEEDED, State.SUCCEEDED), Finished(State.CANCELLED, NOW, "default")
    )
    assert (over.head_due, over.verdict) == (None, Verdict(alive=True))


@pytest.mark.parametrize("how", ["silent", "cancelled"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_releases_that_redis_did_not_take_are_told_with_the_next_ones(
    ledger: Ledger, queue: Queue, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(lane_releases, "_TELL_WITHIN_S", 0.3 if how == "silent" else 60)
    await queue.epoch()
    await queue.lanes.rebuild(await queue.epoch(), [], [])
    entries = [Entry(name, "quick", "default", datetime.now(UTC), 0, ("t",)) for name in "ab"]
    await queue.put(entries)
    assert len((await queue.claim(["default"], Room(0, 2))).claimed) == 2
    releases = LaneReleases(ledger, queue)
    proxy.black_hole = True
    telling = asyncio.create_task(releases.tell([Release("a", ("t",))]))
    if how == "cancelled":
        await asyncio.sleep(0)  # it has begun
        telling.cancel()
    await asyncio.wait({telling})
    assert releases.untold
    proxy.black_hole = False

    async def told() -> bool:
        return await releases.tell([Release("b", ("t",))]) and not releases.untold

    await eventually(told)
    assert (await queue.lanes.states(["t"]))["t"].running == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_breaker_that_opens_is_noted_in_the_ledger(ledger: Ledger, queue: Queue) -> None:
    await queue.lanes.rebuild(await queue.epoch(), [], [Runs("a", ("t", "host:a"), "default")])
    held = Verdict(alive=False, hold_s=60, reason="503")
    await LaneReleases(ledger, queue).tell([Release("a", ("t", "host:a"), held)])

    async def noted() -> tuple[str, str | None] | None:
        async with ledger.read() as connection:
            rule = await find_rule(connection, "host:a")
        return None if rule is None else (rule.breaker_state, rule.breaker_reason)

    assert await eventually(noted) == ("open", "503")
    async with ledger.read() as connection:
        assert await find_rule(connection, "t") is None


class NoArgs(BaseModel):
    pass


begun: Counter[str] = Counter()


@job("answered", lane="host:alive")
async def answered(ctx: Context, _args: NoArgs) -> None:
    begun[ctx.kind] += 1


@job("unanswered", lane="host:dead")
async def unanswered(ctx: Context, _args: NoArgs) -> None:
    begun[ctx.kind] += 1
    raise ConnectionError("no answer")


@job("unanswered_once", lane="host:dead", max_attempts=1)
async def unanswered_once(ctx: Context, _args: NoArgs) -> None:
    begun[ctx.kind] += 1
    raise ConnectionError("no answer")


@job("laneless")
async def laneless(ctx: Context, _args: NoArgs) -> None:
    begun[ctx.kind] += 1


async def _have_begun(kind: Kind[Any, Any], count: int) -> None:
    async def so_many() -> bool:
        return begun[kind.name] >= count

    await eventually(so_many)


@pytest.fixture
def may_tell(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Hold all releases back until this is set."""
    may_tell, tell = asyncio.Event(), LaneReleases.tell

    async def tell_later(self: LaneReleases, releases: Sequence[Release]) -> bool:
        if releases:
            await may_tell.wait()
        return await tell(self, releases)

    monkeypatch.setattr(LaneReleases, "tell", tell_later)
    begun.clear()
    return may_tell


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, answered, unanswered, unanswered_once, laneless) as opened:
        await LaneKeeping(opened.ledger, opened.queue).build()
        yield opened


@pytest.mark.parametrize(
    ("kind", "before_told"),
    [(unanswered, 2), (unanswered_once, 2), (answered, 10)],
    ids=["failed, goes on", "failed for good", "succeeded"],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_failed_attempt_keeps_its_share_of_the_worker_until_its_lanes_know(
    desk: Desk, settings: Settings, may_tell: asyncio.Event, kind: Kind[Any, Any], before_told: int
) -> None:
    for _ in range(10):
        await desk.enqueue(kind)
    kinds = catalogue_of(answered, unanswered, unanswered_once, laneless)
    async with running_worker(settings.model_copy(update={"max_jobs": 8}), kinds):
        await _have_begun(kind, before_told)
        for number in range(1, 6):  # each takes a claim, which could take more of the lane
            await desk.enqueue(laneless)
            await _have_begun(laneless, number)
        assert begun[kind.name] == before_told
        may_tell.set()
        await _have_begun(kind, min(10, before_told + 1))
