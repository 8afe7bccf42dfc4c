"""Args at the doors inside a worker: `ctx.enqueue`, jobs of arq clients, and jobs of a newer service."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict

from jobs import Context, job
from service.errors import ArgsInvalid
from service.ledger.models import Enqueue
from service.ledger.states import State
from service.lifecycle.args import accepted_args
from service.lifecycle.new_job import new_job
from service.options import Options
from service.settings import Settings
from tests.service.worker.desk import open_desk
from tests.support.running import catalogue_of, running_worker


class LevelArgs(BaseModel):
    level: float | None = None


class DoublingArgs(BaseModel):
    count: Annotated[int, AfterValidator(lambda count: count * 2)] = 0


class ForbiddingArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: float = 0


class ParentArgs(BaseModel):
    args: dict[str, Any]


@job("level")
async def level(ctx: Context, args: LevelArgs) -> float | None:
    return args.level


@job("doubling")
async def doubling(ctx: Context, args: DoublingArgs) -> int:
    return args.count


@job("forbidding")
async def forbidding(ctx: Context, args: ForbiddingArgs) -> float:
    return args.level


@job("parent", max_attempts=1)
async def parent(ctx: Context, args: ParentArgs) -> str:
    return await ctx.enqueue("level", args.args)


KINDS = (level, doubling, forbidding, parent)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_misspelt_name_in_ctx_enqueue_fails_the_calling_job_with_the_name(settings: Settings) -> None:
    async with open_desk(settings, *KINDS) as desk, running_worker(settings, catalogue_of(*KINDS)):
        row = await desk.ended(await desk.enqueue(parent, {"args": {"levle": 1}}))
        assert row["state"] == State.FAILED
        assert row["error_type"] == "ArgsInvalid"
        assert "levle" in row["error_message"]
        assert "did you mean 'level'?" in row["error_message"]


@pytest.mark.usefixtures("swept_at_once")
async def test_job_of_a_newer_service_runs_without_the_names_that_this_worker_does_not_know(settings: Settings) -> None:
    async with open_desk(settings, *KINDS) as desk, running_worker(settings, catalogue_of(*KINDS)):
        for kind in (level, forbidding):
            job = new_job(kind, kind.args_model(), Options(), datetime.now(UTC))
            newer = replace(job, args='{"level":2.5,"newer":{"x":1}}')
            await desk.ledger.enqueue(Enqueue(jobs=(newer,), writer="test"))
            row = await desk.ended(job.id)
            assert (row["state"], json.loads(row["result"])) == (State.SUCCEEDED, 2.5)


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (level, {"level": float("nan")}),
        (level, {"levle": 1}),
        (level, LevelArgs(level=float("inf"))),
        (doubling, {"count": 3}),
        (level, {"level": "high"}),
        (level, [1]),
    ],
)
def test_python_callers_are_refused_what_would_not_run_as_sent(kind: Any, args: Any, database_url: str) -> None:
    with pytest.raises(ArgsInvalid) as refused:
        accepted_args(kind, args)
    assert refused.value.errors


@pytest.mark.usefixtures("swept_at_once")
async def test_what_python_callers_send_is_what_runs(settings: Settings) -> None:
    async with open_desk(settings, *KINDS) as desk, running_worker(settings, catalogue_of(*KINDS)):
        job = new_job(level, accepted_args(level, LevelArgs(level=1.5)), Options(), datetime.now(UTC))
        await desk.ledger.enqueue(Enqueue(jobs=(job,), writer="test"))
        assert json.loads((await desk.ended(job.id))["result"]) == 1.5
