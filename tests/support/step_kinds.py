"""Kinds with steps, which tell a file what they do: loaded through `POSTLUDE_JOBS`, by workers in processes, too."""

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel

from jobs import Context, RetryPolicy, job


class StepArgs(BaseModel):
    """Where the job writes a line for each thing it does, and a file: while that is there, it goes on."""

    diary: str
    gate: str = ""
    count: int = 3


def note(args: StepArgs, line: str) -> None:
    with Path(args.diary).open("a") as diary:
        diary.write(line + "\n")


async def pass_gate(args: StepArgs) -> None:
    while args.gate and not Path(args.gate).exists():
        await asyncio.sleep(0.01)


async def do(args: StepArgs, name: str) -> str:
    note(args, name)
    return f"did {name}"


@job("three_steps", timeout=60, max_attempts=3, retry=RetryPolicy(base=0.01, cap=0.01))
async def three_steps(ctx: Context, args: StepArgs) -> list[str]:
    """Do one thing after another; wait at the gate between the first and the second."""
    first = await ctx.step("first", do, args, "first")
    note(args, f"between {ctx.attempt}")
    await pass_gate(args)
    second = await ctx.step("second", do, args, "second")
    return [first, second, await ctx.step("third", do, args, "third")]


async def do_at_gate(args: StepArgs) -> str:
    note(args, "in the step")
    await pass_gate(args)
    return "passed"


@job("waits_in_step", timeout=60)
async def waits_in_step(ctx: Context, args: StepArgs) -> str:
    """Wait at the gate in the middle of a step."""
    await ctx.step("before", do, args, "before")
    return await ctx.step("at_gate", do_at_gate, args)


@job("counts", timeout=300)
async def counts(ctx: Context, args: StepArgs) -> int:
    """Count, from the last checkpoint on; wait at the gate halfway."""
    begun = (ctx.restored or 0) + 1
    note(args, f"from {begun}")
    for number in range(begun, args.count + 1):
        if number == args.count // 2:
            await pass_gate(args)
        await ctx.checkpoint(number)
    return args.count


@job("fails_once", max_attempts=2, retry=RetryPolicy(base=0.01, cap=0.01))
async def fails_once(ctx: Context, args: StepArgs) -> int:
    """Fail after the first step; return the process that performs the job."""
    await ctx.step("first", do, args, "first")
    note(args, f"attempt {ctx.attempt} restored {ctx.restored}")
    await ctx.checkpoint(ctx.attempt)
    if ctx.attempt == 1:
        raise ValueError("not yet")
    await ctx.step("last", do, args, "last")
    return os.getpid()
