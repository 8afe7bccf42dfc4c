"""Kinds for the journeys, loaded through `POSTLUDE_JOBS`."""

import asyncio
import os

from pydantic import BaseModel

from jobs import Context, Retry, job


class RestArgs(BaseModel):
    first_seconds: float = 0


@job("journey_rest")
async def rest(ctx: Context, args: RestArgs) -> int:
    """Rest on the first attempt; later ones end at once."""
    if ctx.attempt == 1:
        await asyncio.sleep(args.first_seconds)
    return ctx.attempt


@job("journey_flaky")
async def flaky(ctx: Context, _args: RestArgs) -> int:
    """Succeed on the second attempt."""
    if ctx.attempt == 1:
        raise Retry("not yet", after=1)
    return ctx.attempt


@job("journey_poison")
async def poison(_ctx: Context, _args: RestArgs) -> None:
    """End the process that runs it."""
    os._exit(9)


@job("journey_talk", max_attempts=1)
async def talk(ctx: Context, args: RestArgs) -> None:
    """Log, and wait."""
    ctx.log.warning("talking alone")
    await asyncio.sleep(args.first_seconds)
    ctx.log.warning("done")


@job("journey_held")
async def held(ctx: Context, args: RestArgs) -> int:
    """Report that it runs, and wait; the result says which process it was."""
    await ctx.progress(1)
    await asyncio.sleep(args.first_seconds)
    return os.getpid()
