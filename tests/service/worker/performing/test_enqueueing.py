"""A job enqueues others, which follow jobs, join its flow, and have callbacks."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import uuid_utils
from pydantic import BaseModel
from sqlalchemy import select, update

from jobs import Context, job
from service.errors import KindUnknown, QueueUnknown, Refused
from service.ledger.models import NewFlow, NewJob
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.new_job import new_job
from service.options import Options
from service.settings import Settings
from service.tables import jobs
from service.worker.performing.enqueueing import Enqueueing
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


class Args(BaseModel):
    name: str = "Ann"


@job("greet")
async def greet(_ctx: Context, _args: Args) -> None: ...


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, greet) as opened:
        yield opened


@pytest.fixture
def recorded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[NewJob]:
    """Catch the jobs to record."""
    caught: list[NewJob] = []

    async def enqueue(_self: Any, jobs: list[NewJob], *_rest: Any) -> Any:
        caught.extend(jobs)
        return type("Told", (), {"unknown": (), "refusal": None, "ids": (jobs[0].id,)})

    monkeypatch.setattr(Lifecycle, "enqueue", enqueue)
    return caught


async def enqueue(desk: Desk, by: str = "none", **options: Any) -> str:
    return await Enqueueing(desk.resources, desk.lifecycle).enqueue(by, "greet", {"name": "Bob"}, **options)


async def test_a_job_that_says_nothing_of_others_follows_none(desk: Desk) -> None:
    row = await desk.row(await enqueue(desk, delay=5, tags=["a"], unique_key="k"))
    assert (row["state"], row["tags"], row["unique_key"]) == ("scheduled", '["a"]', "k")
    assert (row["flow"], row["blocked_by"]) == (None, None)


async def test_a_job_follows_those_that_it_names_each_once(desk: Desk, recorded: list[NewJob]) -> None:
    await enqueue(desk, after=["a", "b", "a"], run_when="ended")
    assert (recorded[0].after, recorded[0].run_when) == (("a", "b"), "ended")


async def test_a_job_joins_the_flow_of_the_job_that_enqueues_it(desk: Desk, recorded: list[NewJob]) -> None:
    alone, member = await desk.record_only(greet), await desk.record_only(greet)
    await desk.ledger.database.run(lambda c: c.execute(update(jobs).where(jobs.c.id == member).values(flow="f")))
    for by, flow in ((member, True), (alone, True), (member, "g"), (member, None), (member, False)):
        await enqueue(desk, by, flow=flow)
    assert [one.flow for one in recorded] == ["f", None, "g", None, None]


async def test_callbacks_are_checked_as_an_enqueue_would_be_and_kept(desk: Desk, recorded: list[NewJob]) -> None:
    then = {"kind": "greet", "args": {"name": "Cy"}, "delay": 3, "tags": ["t"]}
    await enqueue(desk, on_success=then, on_end={"kind": "greet"})
    told = [(one.event, json.loads(one.template)) for one in recorded[0].callbacks]
    assert [event for event, _ in told] == ["success", "end"]
    assert (json.loads(told[0][1]["args"]), told[0][1]["delay_s"]) == ({"name": "Cy"}, 3)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"after": "an-id"}, Refused, "a list of ids"),
        ({"after": [7]}, Refused, "a list of ids"),
        ({"run_when": "failed"}, Refused, "one of succeeded, ended, attempted"),
        ({"on_end": {"kind": "greeet"}}, KindUnknown, "greeet"),
        ({"on_end": {"kind": "greet", "queue": "none"}}, QueueUnknown, "unknown"),
        ({"on_end": {"kind": "greet", "args": {"name": 7}}}, Refused, "do not fit"),
        ({"on_end": {"kind": "greet", "priority": 99}}, Refused, "options do not fit"),
        ({"on_end": {"args": {}}}, Refused, "has a kind"),
        ({"on_end": {"kind": "greet", "url": "http://x"}}, Refused, "has a kind"),
        ({"on_end": {"kind": "greet", "unique_key": "k", "retry": {}}}, Refused, "takes no retry, unique_key"),
        ({"retry": {"base": 5, "cap": 1}}, Refused, "base is above cap"),
        ({"queue": "none"}, QueueUnknown, "unknown"),
    ],
)
async def test_what_the_api_would_refuse_is_refused(
    desk: Desk, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await enqueue(desk, **options)


async def test_an_option_that_there_is_not_is_refused(desk: Desk) -> None:
    with pytest.raises(TypeError, match="dealy"):
        await enqueue(desk, dealy=3)


@job("fans_out")
async def fans_out(ctx: Context, args: Args) -> str:
    """Enqueue two jobs in its own flow, and one that waits for both and for this one."""
    parts = [await ctx.enqueue("part", {"name": name}, flow=True) for name in ("a", "b")]
    await ctx.enqueue("joins", after=[*parts, ctx.job_id], flow=True, tags=[args.name])
    return "fanned out"


@job("part")
async def part(_ctx: Context, args: Args) -> str:
    return args.name


@job("joins")
async def joins(ctx: Context, _args: Args) -> dict[str, Any]:
    return {"all": list(ctx.results.values()), "first": ctx.results.get("first"), "ids": list(ctx.results)}


async def test_a_job_fans_out_within_its_flow_and_the_last_one_has_all_results(settings: Settings) -> None:
    flow = str(uuid_utils.uuid7())
    async with open_desk(settings, fans_out, part, joins) as desk:
        first = new_job(fans_out, Args(), Options(), datetime.now(UTC), flow=flow, flow_name="first")
        await desk.lifecycle.enqueue([first], None, NewFlow(flow, datetime.now(UTC), "f"))
        async with running_worker(settings, desk.resources.catalogue):
            assert (await desk.ended(first.id))["state"] == "succeeded"
            async with desk.ledger.read() as connection:
                rows = (await connection.execute(select(jobs.c.id, jobs.c.kind, jobs.c.flow))).all()
            [last] = [row.id for row in rows if row.kind == "joins"]
            row = await desk.ended(last)
    assert {row.flow for row in rows} == {flow}
    assert json.loads(row["result"]) == {
        "all": ["a", "b", "fanned out"],
        "first": "fanned out",
        "ids": [*[one.id for one in sorted(rows) if one.kind == "part"], first.id],
    }


async def test_a_job_after_one_that_there_is_not_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="no job or flow nobody"):
        await enqueue(desk, after=["nobody"])
