"""Kinds as authors write them: mypy accepts every line."""

import asyncio
from datetime import timedelta
from typing import Protocol, assert_type

from pydantic import BaseModel

from jobs import Context, Discard, Kind, Retry, RetryPolicy, Snooze, ThreadContext, job


class GreetArgs(BaseModel):
    name: str


class Greeting(BaseModel):
    text: str


@job("greet", timeout=10, max_attempts=5, queue="slow", retry=RetryPolicy(never=(KeyError,)))
async def greet(ctx: Context, args: GreetArgs) -> Greeting:
    ctx.log.info("greeting", length=len(args.name))
    await ctx.progress(1, None)
    text = await ctx.thread(str.upper, args.name)
    await ctx.enqueue("greet", GreetArgs(name=text), delay=5, tags=["again"])
    if not text:
        raise Discard("nobody to greet")
    if text == "?":
        raise Retry(after=timedelta(seconds=3))
    if text == "!":
        raise Snooze(after=60)
    async with ctx.session() as session, session.begin():
        await session.connection()
    return Greeting(text=text)


@job("nightly", cron="0 3 * * *", timeout=timedelta(hours=1))
async def nightly(ctx: Context, args: BaseModel) -> None: ...


class Notebook(Protocol):
    async def keep(self, text: str) -> None: ...


async def use(ctx: Context) -> None:
    assert_type(ctx.capability(Notebook), Notebook)
    assert_type(greet, Kind[GreetArgs, Greeting])
    assert_type(await greet(ctx, GreetArgs(name="Ann")), Greeting)
    assert_type(greet.load_args("{}"), GreetArgs)


async def fetch(name: str, *, count: int = 1) -> Greeting:
    return Greeting(text=name * count)


@job("in_steps")
async def in_steps(ctx: Context, args: GreetArgs) -> int:
    assert_type(await ctx.step("fetch", fetch, args.name, count=2), Greeting)
    assert_type(await ctx.step("in a thread", str.upper, args.name), str)
    first, second = await asyncio.gather(ctx.step("a", len, "a"), ctx.step("b", fetch, "b"))
    await ctx.checkpoint({"place": ctx.restored, "seen": [first, second]})
    await ctx.enqueue("greet", args, after=[ctx.job_id], run_when="ended", flow=True, on_end={"kind": "greet"})
    return len(ctx.results)


@job("welcome", lane=lambda args: f"mail:{args.email}")
async def welcome(email: str, ctx: Context, *, name: str = "you") -> str:
    return f"{email}: {name}, {ctx.attempt}"


@job("resize", runs="process", memory_mb=512)
def resize(path: str, ctx: ThreadContext, sizes: list[int]) -> int:
    ctx.log.info("resizing", path=path)
    ctx.progress(1, 3)
    assert_type(ctx.step("length", len, path), int)
    assert_type(ctx.step("fetched", fetch, path, count=2), Greeting)
    ctx.checkpoint({"place": ctx.restored})
    assert_type(ctx.run(fetch(path)), Greeting)
    return len(ctx.results) + ctx.thread(len, sizes)


async def use_functions(ctx: Context, of_thread: ThreadContext) -> None:
    assert_type(await welcome("ann@example.com", ctx, name="Ann"), str)
    assert_type(resize("a.png", of_thread, [1]), int)
    await ctx.enqueue(welcome.name, {"email": "ann@example.com"})
