"""The kinds of the benchmark, loaded through `POSTLUDE_JOBS`."""

import asyncio

from pydantic import BaseModel

from benchmarks import tasks
from jobs import Context, job

ORDER_S = 0.01  # so that a killed worker is in the middle of some


class NoArgs(BaseModel):
    pass


class StampArgs(BaseModel):
    index: int


class CallArgs(BaseModel):
    url: str


class StepsArgs(BaseModel):
    count: int


@job("bench_noop")
async def noop(_ctx: Context, _args: NoArgs) -> None: ...


@job("bench_aside", queue="aside")
async def aside(_ctx: Context, _args: NoArgs) -> None:
    """Do nothing, on a queue that nobody works: its jobs stay where an operation has put them."""


@job("bench_sleep")
async def sleep(_ctx: Context, _args: NoArgs) -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@job("bench_stamp")
async def stamp(_ctx: Context, args: StampArgs) -> None:
    tasks.stamp(args.index)


@job("bench_call")
async def call(_ctx: Context, args: CallArgs) -> None:
    await tasks.call(args.url)


@job("bench_order")
async def order(_ctx: Context, args: StampArgs) -> None:
    """Report the start as 2 * index, and the end as the odd number after it."""
    tasks.stamp(2 * args.index)
    await asyncio.sleep(ORDER_S)
    tasks.stamp(2 * args.index + 1)


async def double(number: int) -> int:
    return 2 * number


@job("bench_steps")
async def steps(ctx: Context, args: StepsArgs) -> None:
    for number in range(args.count):
        await ctx.step(f"step {number}", double, number)
