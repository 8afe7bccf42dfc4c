"""The hooks around enqueues wrap every way into the ledger, and may change or refuse jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis
from arq.jobs import SerializationError
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import func, select
from structlog.testing import capture_logs

from jobs import Context, job
from service.errors import LedgerUnavailable, Refused
from service.hooks import EnqueueHook, Hooks
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Enqueued, NewJob
from service.queue import key_of, open_redis
from service.resources import Resources
from service.settings import Settings
from service.tables import job_tags, jobs, ticks
from tests.service.api.driving import assert_problem, on_sqlite, stat
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

pytestmark = on_sqlite  # what the hooks see and change never reaches the database


class Args(BaseModel): ...


@job("hooked_child")
async def child(_ctx: Context, _args: Args) -> None: ...


@job("hooked_parent", max_attempts=1)
async def parent(ctx: Context, _args: Args) -> None:
    await ctx.enqueue("hooked_child")


@job("hooked_tick", cron="* * * * * *")
async def tick(_ctx: Context, _args: Args) -> None: ...


@dataclass
class Recorder:
    """Hooks of a feature that tags each job, and notes its kind."""

    seen: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def tag(self, coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
        self.seen += [one.kind for one in coming]
        if self.refuses & {one.kind for one in coming}:
            raise Refused("nothing is taken on Sundays")
        yield [replace(one, tags=(*one.tags, "hooked")) for one in coming]


def stand_around_enqueues(monkeypatch: pytest.MonkeyPatch, *hooks: EnqueueHook) -> None:
    """Have each process that is opened from now on enqueue within these hooks, as features would."""
    monkeypatch.setattr(Resources, "hooks", Hooks(enqueues=hooks))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    stand_around_enqueues(monkeypatch, recorder.tag)
    return recorder


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, child, parent, tick) as opened:
        yield opened


async def count(desk: Desk, kind: str | None = None) -> int:
    async with desk.ledger.read() as connection:
        counted = select(func.count()).select_from(jobs)
        return int((await connection.execute(counted.where(jobs.c.kind == kind) if kind else counted)).scalar_one())


async def tagged(desk: Desk, kind: str) -> bool:
    """Whether there are jobs of a kind, and all of them carry the hook's tag."""
    carry = select(func.count()).select_from(job_tags.join(jobs, jobs.c.id == job_tags.c.job_id))
    async with desk.ledger.read() as connection:
        found = await connection.execute(carry.where(jobs.c.kind == kind, job_tags.c.tag == "hooked"))
        tags = int(found.scalar_one())
    return tags > 0 and tags == await count(desk, kind)


async def by_kind(desk: Desk, _settings: Settings) -> str:
    await desk.enqueue(parent)
    return "hooked_child"


async def by_cron(_desk: Desk, _settings: Settings) -> str:
    return "hooked_tick"


async def by_arq_client(_desk: Desk, settings: Settings) -> str:
    client = open_redis(settings.redis_dsn)
    await client.enqueue_job("hooked_child")
    await client.aclose(close_connection_pool=True)
    return "hooked_child"


@pytest.mark.parametrize("enqueue", [by_kind, by_cron, by_arq_client])
async def test_hook_changes_what_kinds_cron_and_arq_clients_enqueue(
    hook: Recorder, desk: Desk, settings: Settings, enqueue: Callable[[Desk, Settings], Awaitable[str]]
) -> None:
    async with running_worker(settings, catalogue_of(child, parent, tick)):
        kind = await enqueue(desk, settings)
        await eventually(lambda: tagged(desk, kind))
    assert kind in hook.seen


async def test_hook_changes_what_the_api_takes_and_the_answer_shows_it(hook: Recorder, api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = await api.post("/v1/jobs", json=stat(tags=["own"]), headers=key)
    again = await api.post("/v1/jobs", json=stat(tags=["own"]), headers=key)
    assert first.status_code == again.status_code == 202
    assert first.json()["tags"] == ["own", "hooked"]
    assert first.content == again.content
    assert (await api.get(f"/v1/jobs/{first.json()['id']}")).json()["tags"] == ["own", "hooked"]
    batch = (await api.post("/v1/jobs/batch", json={"jobs": [stat(), stat()]})).json()["jobs"]
    listed = (await api.get("/v1/jobs", params={"tag": "hooked"})).json()["jobs"]
    assert {one["id"] for one in batch} | {first.json()["id"]} == {one["id"] for one in listed}
    assert hook.seen == ["update_stats"] * 4


async def test_hook_that_raises_refuses_a_request_and_leaves_nothing_behind(
    hook: Recorder, api: httpx.AsyncClient
) -> None:
    hook.refuses = {"update_stats"}
    key = {"Idempotency-Key": "once"}
    for path, body in (("/v1/jobs", stat()), ("/v1/jobs/batch", {"jobs": [stat(), stat()]})):
        problem = assert_problem(await api.post(path, json=body, headers=key), 422)
        assert problem["detail"] == "nothing is taken on Sundays"
    assert (await api.get("/v1/jobs")).json()["jobs"] == []
    hook.refuses.clear()
    assert (await api.post("/v1/jobs", json=stat(), headers=key)).status_code == 202


async def test_hook_that_raises_fails_the_attempt_that_enqueues(hook: Recorder, desk: Desk, settings: Settings) -> None:
    hook.refuses = {"hooked_child"}
    async with running_worker(settings, catalogue_of(child, parent)):
        row = await desk.ended(await desk.enqueue(parent))
    assert (row["state"], row["error_message"]) == ("failed", "nothing is taken on Sundays")
    assert await count(desk, "hooked_child") == 0


async def test_hook_that_raises_skips_a_tick_which_tells_why_and_the_next_one_comes(
    hook: Recorder, desk: Desk, settings: Settings
) -> None:
    hook.refuses = {"hooked_tick"}
    with capture_logs() as logs:
        async with running_worker(settings, catalogue_of(tick)):

            async def refused() -> bool:
                return [one["event"] for one in logs].count("cron_tick_failed") >= 2

            await eventually(refused)
            async with desk.ledger.read() as connection:
                told = set(await connection.execute(select(ticks.c.job_id, ticks.c.outcome, ticks.c.reason)))
            assert told == {(None, "skipped", "nothing is taken on Sundays")}
            hook.refuses.clear()
            await eventually(lambda: tagged(desk, "hooked_tick"))


async def test_hook_that_raises_is_the_result_of_an_arq_clients_job(
    hook: Recorder, desk: Desk, settings: Settings, redis: Redis
) -> None:
    hook.refuses = {"hooked_child"}
    client: ArqRedis = open_redis(settings.redis_dsn)
    async with running_worker(settings, catalogue_of(child)):
        arq_job = await client.enqueue_job("hooked_child")
        assert arq_job is not None
        with pytest.raises(SerializationError, match="nothing is taken on Sundays"):
            await arq_job.result(timeout=10, poll_delay=0.02)
    assert await redis.zcard(key_of("default")) == 0
    assert await count(desk) == 0
    await client.aclose(close_connection_pool=True)


@asynccontextmanager
async def drops(coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
    yield coming[:-1]


@asynccontextmanager
async def renames(coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
    yield [replace(one, id="mine") for one in coming]


@pytest.mark.parametrize("broken", [drops, renames])
async def test_hook_may_not_change_which_jobs_there_are(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, broken: EnqueueHook
) -> None:
    stand_around_enqueues(monkeypatch, broken)
    async with open_desk(settings, child) as desk:
        with pytest.raises(ValueError, match="nor their ids"):
            await desk.enqueue(child)
        assert await count(desk) == 0


@asynccontextmanager
async def swallows(coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
    with suppress(LedgerUnavailable):
        yield coming


async def test_hook_that_swallows_an_outage_makes_no_job_look_accepted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    async def away(_ledger: Ledger, _request: Enqueue) -> Enqueued:
        raise LedgerUnavailable("gone")

    stand_around_enqueues(monkeypatch, swallows)
    monkeypatch.setattr(Ledger, "enqueue", away)
    async with open_desk(settings, child) as desk:
        with pytest.raises(LedgerUnavailable, match="gone"):
            await desk.enqueue(child)


async def test_jobs_are_recorded_before_hooks_are_left_in_reverse_order(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    told: list[Any] = []
    desks: list[Desk] = []

    def noting(name: str) -> EnqueueHook:
        @asynccontextmanager
        async def hook(coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
            told.append(f"{name} entered")
            yield coming
            told.append((f"{name} left", await count(desks[0])))

        return hook

    stand_around_enqueues(monkeypatch, noting("first"), noting("second"))
    async with open_desk(settings, child) as opened:
        desks.append(opened)
        await opened.enqueue(child)
    assert told == ["first entered", "second entered", ("second left", 1), ("first left", 1)]
