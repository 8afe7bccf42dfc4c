"""The kinds of the benchmark, loaded through `POSTLUDE_JOBS`."""

import asyncio

from pydantic import BaseModel

from benchmarks import tasks
from jobs import Context, job


class NoArgs(BaseModel):
    pass


class StampArgs(BaseModel):
    index: int


@job("bench_noop")
async def noop(_ctx: Context, _args: NoArgs) -> None: ...


@job("bench_sleep")
async def sleep(_ctx: Context, _args: NoArgs) -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@job("bench_stamp")
async def stamp(_ctx: Context, args: StampArgs) -> None:
    tasks.stamp(args.index)
