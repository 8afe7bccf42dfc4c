"""Jobs are in the lanes that their request and their kind name, however they are enqueued."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from jobs import Context, Lane, Rate, job
from service.hooks import Hooks
from service.ledger.models import NewJob
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.schedules.due import DueTick
from service.lifecycle.schedules.plan import plan_of_kind
from service.options import Options
from service.queue import ArqJob
from service.settings import Settings
from tests.service.api.driving import assert_problem, get, on_sqlite, post, stat, webhook
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import running_api

pytestmark = on_sqlite  # what is decided here never reaches the database


class Args(BaseModel):
    tenant: int = 7


@job("tenanted", cron="0 0 1 1 *", lane=lambda args: Lane(f"tenant:{100 // args.tenant}", concurrency=2))
async def tenanted(ctx: Context, args: Args) -> None: ...


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, tenanted) as opened:
        yield opened


async def lanes_of(desk: Desk, job_id: str) -> tuple[str | None, str | None, str | None]:
    row = await desk.row(job_id)
    assert row["lane_seq"] is not None
    return row["lane"], row["kind_lane"], row["lane_limits"]


OF_KIND = '"tenant:14":{"concurrency":2,"from":"kind"}'


async def test_a_job_is_in_its_kinds_lane_and_in_the_one_that_python_code_names(desk: Desk) -> None:
    assert await lanes_of(desk, await desk.enqueue(tenanted)) == (None, "tenant:14", f"{{{OF_KIND}}}")
    named = await desk.enqueue(tenanted, lane="import")
    assert await lanes_of(desk, named) == ("import", "tenant:14", f"{{{OF_KIND}}}")
    limited = await desk.enqueue(tenanted, lane=Lane("import", rate=Rate(1, per=60)))
    told = '"import":{"rate":{"limit":1,"per":60.0},"from":"request"}'
    assert await lanes_of(desk, limited) == ("import", "tenant:14", f"{{{told},{OF_KIND}}}")


async def test_a_lane_that_request_and_kind_both_name_is_one_lane(desk: Desk) -> None:
    same = await desk.enqueue(tenanted, lane="tenant:14")
    assert await lanes_of(desk, same) == ("tenant:14", None, f"{{{OF_KIND}}}")


async def test_jobs_of_ticks_and_of_arq_clients_are_in_their_kinds_lane(desk: Desk) -> None:
    now = datetime.now(UTC)
    daily = replace(tenanted, cron="@daily", catch_up="last")
    ticked = desk.lifecycle.ticking.job_of(DueTick(plan_of_kind(daily, None), now), now)
    await desk.lifecycle.enqueue([ticked])
    assert (await lanes_of(desk, ticked.id))[:2] == (None, "tenant:14")
    arq_jobs = [ArqJob(name, "default", "tenanted", [], {"tenant": args}, now) for name, args in (("a", 5), ("b", 0))]
    adopted, refused = await desk.lifecycle.adopt(arq_jobs, now)
    assert (await lanes_of(desk, adopted.job_id))[:2] == (None, "tenant:20")
    assert "The lane function of tenanted failed on the args (ZeroDivisionError: " in (refused.refusal or "")


async def test_hooks_see_lanes_and_may_change_them(desk: Desk) -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def rename(coming: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
        seen.extend(one.lanes for one in coming)
        for one in coming:
            one.lane = "renamed"
        yield coming

    resources = desk.resources
    hooks = Hooks(enqueues=(rename,))
    lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="w", hooks=hooks)
    job_id = await lifecycle.enqueue_one("tenanted", None, Options(lane="import"))
    assert seen == [("import", "tenant:14")]
    assert (await lanes_of(desk, job_id))[0] == "renamed"


async def test_the_api_shows_lanes_and_lists_jobs_by_them(api: httpx.AsyncClient) -> None:
    named = await post(api, lane="tenant:42")
    limited = await post(api, lane={"key": "tenant:42", "concurrency": 3, "rate": {"limit": 5, "per": 0.5}})
    batch = [stat(lane="tenant:43"), webhook(), webhook() | {"lane": {"key": "tenant:42", "order": "strict"}}]
    accepted = (await api.post("/v1/jobs/batch", json={"jobs": batch})).json()["jobs"]
    shown = [await get(api, one["id"]) for one in (named, limited, *accepted, await post(api))]
    told = [(one["lane"], one["lanes"]) for one in shown]
    mine, host = "tenant:42", "host:127.0.0.1:9"
    assert told == [
        (mine, [mine]),
        (mine, [mine]),
        ("tenant:43", ["tenant:43"]),
        (None, [host]),
        (mine, [mine, host]),
        (None, []),
    ]

    async def listed(lane: str) -> set[str]:
        page = (await api.get("/v1/jobs", params={"lane": lane})).json()
        return {one["id"] for one in page["jobs"]}

    ids = [one["id"] for one in shown]
    assert await listed(mine) == {ids[0], ids[1], ids[4]}
    assert await listed(host) == {ids[3], ids[4]}
    assert await listed("nobody's") == set()


@pytest.mark.parametrize(
    ("lane", "loc"),
    [
        ("", ["lane", "key"]),
        (7, ["lane"]),
        ("a*", ["lane", "key"]),
        (" a", ["lane", "key"]),
        ("queue:default", ["lane", "key"]),
        ({"concurrency": 1}, ["lane", "key"]),
        ({"key": "a", "concurrency": 0}, ["lane", "concurrency"]),
        ({"key": "a", "rate": {"limit": 5, "per": 0}}, ["lane", "rate", "per"]),
        ({"key": "a", "rate": {"limit": 5}}, ["lane", "rate", "per"]),
        ({"key": "a", "order": "fifo"}, ["lane", "order"]),
        ({"key": "a", "order": "strict", "concurrency": 2}, ["lane"]),
        ({"key": "a", "speed": 1}, ["lane", "speed"]),
    ],
    ids=str,
)
async def test_a_lane_that_no_job_may_have_is_refused_where_it_stands(
    api: httpx.AsyncClient, lane: Any, loc: list[str]
) -> None:
    (error,) = assert_problem(await api.post("/v1/jobs", json=stat(lane=lane)), 422)["errors"]
    assert error["loc"] == loc
    (error,) = assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat(lane=lane)]}), 422)["errors"]
    assert error["loc"] == ["jobs", 0, *loc]


async def test_what_is_neither_a_key_nor_an_object_is_told_that_it_may_be_either(api: httpx.AsyncClient) -> None:
    (error,) = assert_problem(await api.post("/v1/jobs", json=stat(lane=7)), 422)["errors"]
    assert error["msg"] == "Input should be a lane's key, or an object with a key and limits"


async def test_a_lane_function_that_fails_refuses_the_request_and_is_named(settings: Settings) -> None:
    body = {"kind": "tenanted", "args": {"tenant": 0}}
    async with running_api(settings.model_copy(update={"jobs": (__name__,)})) as api:
        problem = assert_problem(await api.post("/v1/jobs", json=body), 422)
        assert problem["title"] == "Args invalid"
        told = (
            "The lane function of tenanted failed on the args (ZeroDivisionError: integer division or modulo by zero)."
        )
        assert problem["detail"] == told
        assert problem["errors"] == [{"loc": ["args"], "msg": told, "type": "lane_failed"}]
