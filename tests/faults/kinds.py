"""Kinds for the fault suite, loaded through `POSTLUDE_JOBS`: each leaves a line for each side effect."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

from jobs import Context, Discard, Retry, RetryPolicy, job

EFFECTS = "FAULTS_EFFECTS"


class WorkArgs(BaseModel):
    seconds: float = 0
    text: str = ""


@job("fault_work", timeout=300)
async def work(ctx: Context, args: WorkArgs) -> str:
    """Take `seconds`, then leave one line in the file of side effects."""
    await asyncio.sleep(args.seconds)
    leave_effect(ctx)
    return args.text


@job("fault_once", timeout=300, max_attempts=1)
async def once(ctx: Context, args: WorkArgs) -> str:
    """Do the same as `fault_work`; a single failure ends the job."""
    return await work.function(ctx, args)


@job("fault_poison", max_attempts=10)
async def poison(_ctx: Context, args: WorkArgs) -> None:
    """Take the whole worker down, like running out of memory."""
    await asyncio.sleep(args.seconds)
    os._exit(9)


@job("fault_block", timeout=300)
async def block(ctx: Context, args: WorkArgs) -> None:
    """Block the event loop of the worker."""
    time.sleep(args.seconds)
    leave_effect(ctx)


@job("fault_flaky", retry=RetryPolicy(base=0.01, cap=0.01))
async def flaky(ctx: Context, args: WorkArgs) -> str:
    """Fail once, then do the same as `fault_work`."""
    if ctx.attempt == 1:
        raise Retry("not yet")
    return await work.function(ctx, args)


class CallArgs(BaseModel):
    url: str
    """Of a `LaneReceiver`."""


@job("fault_call", timeout=300, max_attempts=50, retry=RetryPolicy(base=0.2, cap=1))
async def call(ctx: Context, args: CallArgs) -> None:
    """Visit a receiver that counts who is there; a refusal is tried again."""
    await visit(ctx, args)


class DeliverArgs(CallArgs):
    to: str


@job(
    "fault_deliver",
    timeout=1,
    max_attempts=100,
    retry=RetryPolicy(base=0.2, cap=1),
    lane=lambda args: f"dest:{args.to}",
)
async def deliver(ctx: Context, args: DeliverArgs) -> None:
    """Do the same in the lane of a destination, which may be dead: no answer within a second is none."""
    await visit(ctx, args)


async def visit(ctx: Context, args: CallArgs) -> None:
    told = {"job": ctx.job_id, "attempt": str(ctx.attempt), "pid": str(os.getpid())}
    answer = await ctx.http.post(httpx.URL(args.url).copy_merge_params(told), timeout=None)
    if not answer.is_success:
        raise Retry(f"the receiver answered {answer.status_code}")
    leave_effect(ctx)


class FlowArgs(WorkArgs):
    until: float = 0
    """End at this time (`time.time()`), together with others."""
    steps: int = 0
    flaky: bool = False
    """Fail once, after the steps."""
    broken_until: str | None = None
    """Fail for good as long as there is no such file."""


@job("fault_flow", timeout=300, max_attempts=50, retry=RetryPolicy(base=0.05, cap=0.2))
async def in_flow(ctx: Context, args: FlowArgs) -> dict[str, Any]:
    """Take steps with a checkpoint after each, work, and return what this attempt was given."""
    began_with = ctx.restored or 0
    for number in range(args.steps):
        await ctx.step(f"step {number}", take_step, ctx, number)
        if number >= began_with:  # one that dies in this loop must not leave less than it was given
            await ctx.checkpoint(number + 1)
    if args.flaky and ctx.attempt == 1:
        raise Retry("not yet")
    await asyncio.sleep(max(args.seconds, args.until - time.time()))
    if args.broken_until is not None and not await asyncio.to_thread(Path(args.broken_until).exists):
        raise Discard("broken")
    leave_effect(ctx)
    came_after = {job_id: None if result is None else result["text"] for job_id, result in ctx.results.items()}
    return {"text": args.text, "seconds": args.seconds, "restored": began_with, "came_after": came_after}


async def take_step(ctx: Context, number: int) -> int:
    leave_effect(ctx, f"/{number}")
    return number


@job("fault_called", timeout=300)
async def called(ctx: Context, _args: WorkArgs) -> None:
    """Be the callback of a job or a flow."""
    leave_effect(ctx)


@job("fault_fails", timeout=300, max_attempts=1)
async def fails(ctx: Context, args: WorkArgs) -> None:
    """Do the same as `fault_work`, and fail: each replay costs one attempt more."""
    await work.function(ctx, args)
    raise Discard("as always")


def leave_effect(ctx: Context, of: str = "") -> None:
    """Append a line in one short write: with O_APPEND it stays whole, however many processes write at once."""
    file = os.open(os.environ[EFFECTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{ctx.job_id}{of} {ctx.attempt}\n".encode())
    os.close(file)
