"""Kinds that do not hold: mypy rejects each marked line, and says why.

Where a line is marked, an unused mark is an error of `mypy --strict`: the marks hold for the project's own run too.
"""

from collections.abc import Callable

from pydantic import BaseModel

from jobs import Context, Retry, job


class Args(BaseModel):
    name: str


class OtherArgs(BaseModel):
    count: int


@job  # type: ignore[arg-type]  # the name is missing
async def nameless(ctx: Context, args: Args) -> None: ...


@job("wrong_option", retries=3)  # type: ignore[call-arg]  # it is called max_attempts
async def wrong_option(ctx: Context, args: Args) -> None: ...


@job("good")
async def good(ctx: Context, args: Args) -> str:
    ctx.job_id = "other"  # type: ignore[misc]  # a Context is frozen
    await ctx.thread(len, 5)  # type: ignore[arg-type]  # an int has no length
    raise Retry(60)  # type: ignore[arg-type]  # seconds go by after=


async def use(ctx: Context) -> None:
    await good(ctx, OtherArgs(count=1))  # type: ignore[arg-type]  # another kind's args
    greeting: int = await good(ctx, Args(name="Ann"))  # type: ignore[assignment]  # the result is a str
    call: Callable[[], object] = good  # type: ignore[assignment]  # a kind takes ctx and args
    print(greeting, call)  # noqa: T201 - used, so that the lines above are about types only


async def count(of: str) -> int:
    return len(of)


@job("in_steps")
async def in_steps(ctx: Context, args: Args) -> None:
    await ctx.step("a", count, 7)  # type: ignore[call-overload]  # it counts a text
    number = await ctx.step("b", count, "x")
    text: str = number  # type: ignore[assignment]  # it returns a number
    await ctx.enqueue("greet", args, run_when="finished" + text)  # type: ignore[arg-type]  # no such condition


@job("of_parameters")
async def of_parameters(name: str, count: int = 1) -> str:
    return name * count


@job("of_a_thread")
def of_a_thread(name: str) -> str:
    return name


async def use_parameters() -> None:
    await of_parameters(1)  # type: ignore[arg-type]  # a name is a text
    await of_parameters("a", times=1)  # type: ignore[call-arg]  # it is called count
    await of_a_thread("a")  # type: ignore[misc]  # a def is not awaited
