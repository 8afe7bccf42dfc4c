"""Kinds whose attempts end in odd ways, loaded through `POSTLUDE_JOBS`."""

import asyncio
import contextvars
import multiprocessing
import sys
import threading
import time
from typing import Literal

from pydantic import BaseModel

from jobs import Context, job


class Args(BaseModel):
    how: str = ""
    seconds: float = 0


class ExitArgs(BaseModel):
    by: Literal["task", "group", "callback", "thread", "grandchild"]


def _exit() -> None:
    sys.exit(3)


async def _exit_soon() -> None:
    _exit()


async def _exit_below() -> None:
    await asyncio.create_task(_exit_soon())


@job("ends_rest", timeout=120)
async def rest(ctx: Context, args: Args) -> int:
    """Rest for a while."""
    await ctx.progress(1)
    await asyncio.sleep(args.seconds)
    return ctx.attempt


@job("ends_exit", timeout=120, max_attempts=1)
async def exit_in_a_child(ctx: Context, args: ExitArgs) -> None:
    """Call `sys.exit()` elsewhere than in the kind's own coroutine, and wait."""
    loop = asyncio.get_running_loop()
    match args.by:
        case "task":
            kept = loop.create_task(_exit_soon())
        case "grandchild":
            kept = loop.create_task(_exit_below())
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(_exit_soon())
        case "callback":
            loop.call_soon(_exit)
        case "thread":
            kept = loop.create_task(ctx.thread(_exit))
    await asyncio.sleep(100)
    await kept


@job("ends_worker_exit", timeout=120)
async def exit_of_nobody(_ctx: Context, _args: Args) -> None:
    """Call `sys.exit(0)` where nobody can tell which kind did it."""
    contextvars.Context().run(asyncio.get_running_loop().call_soon, sys.exit, 0)
    await asyncio.sleep(100)


@job("ends_hang", timeout=0.5, max_attempts=1)
async def hang(ctx: Context, args: Args) -> None:
    """Hang in a thread, beyond the timeout."""
    await ctx.thread(time.sleep, args.seconds)


@job("ends_leave", timeout=120)
async def leave(_ctx: Context, args: Args) -> str:
    """Succeed, and leave something behind that Python waits for at its end."""
    match args.how:
        case "thread":
            threading.Thread(target=time.sleep, args=(300,)).start()
        case "task":
            globals()["_kept"] = asyncio.create_task(_stubborn())
        case "process":
            context = multiprocessing.get_context("fork")  # a fork has all that is open here
            context.Process(target=time.sleep, args=(20,), daemon=False).start()
    await asyncio.sleep(0.1)
    return "done"


async def _stubborn() -> None:
    while True:
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            continue


@job("ends_block", timeout=1, max_attempts=1)
async def block(_ctx: Context, args: Args) -> str:
    """Block the loop beyond the timeout."""
    time.sleep(args.seconds)
    if args.how == "await":
        await asyncio.sleep(0.1)
    return "late"


@job("ends_deaf", timeout=600)
async def deaf(ctx: Context, args: Args) -> None:
    """Block the loop, so that no cancellation arrives."""
    await ctx.progress(1)
    time.sleep(args.seconds)


@job("ends_exit_again", timeout=120)
async def exit_again_and_again(_ctx: Context, _args: Args) -> None:
    """Succeed, and leave something behind that calls `sys.exit()` for as long as the loop turns."""
    loop = asyncio.get_running_loop()

    def again() -> None:
        loop.call_later(0.002, again)
        sys.exit(3)

    loop.call_soon(again)


@job("ends_cancel_all", timeout=120)
async def cancel_all(ctx: Context, _args: Args) -> None:
    """Cancel all tasks, as if the loop were the kind's own."""
    await ctx.progress(1)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(100)
