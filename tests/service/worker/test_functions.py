"""Kinds under arq's own worker class."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, job
from service.ledger.models import Finish, Finished
from service.queue import open_redis
from service.settings import Settings
from service.worker.functions import kind_functions
from service.worker.performing.attempt import performer_of
from service.worker.startup import Startup
from tests.service.worker.desk import open_desk
from tests.support.running import catalogue_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Args(BaseModel): ...


@job("done_at_once")
async def done_at_once(_ctx: Context, _args: Args) -> None: ...


async def test_outcome_is_recorded_however_often_arq_cancels_its_task(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        recording.set()
        await may_go_on.wait()
        return await finish_all(finishes)

    catalogue = catalogue_of(done_at_once)
    startup, redis = Startup(settings, catalogue), open_redis(settings.redis_dsn)
    ctx: dict[Any, Any] = {"redis": redis}
    await startup.start_up(ctx)
    async with open_desk(settings, done_at_once) as desk:
        job_id = await desk.enqueue(done_at_once)
        finishing = performer_of(ctx).finishing
        finish_all = finishing.finish_all
        monkeypatch.setattr(finishing, "finish_all", slow)
        (function,) = kind_functions(catalogue)
        of_arq = asyncio.create_task(function.coroutine(ctx | {"job_id": job_id}))
        await recording.wait()
        workload = performer_of(ctx).workload
        for _ in range(2):
            of_arq.cancel()
            await asyncio.sleep(0.01)
        assert workload.holds(job_id)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await of_arq
        assert (await desk.ended(job_id))["state"] == "succeeded"
    await startup.shut_down(ctx)
    await redis.aclose(close_connection_pool=True)
