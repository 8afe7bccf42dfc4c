"""Kinds that have a secret, and try to leak it wherever a kind may write something."""

import logging

from pydantic import BaseModel, SecretStr

from jobs import Context, RetryPolicy, job
from jobs.kit.thread_context import ThreadContext


class Args(BaseModel):
    password: SecretStr
    inner: dict[str, SecretStr] = {}


@job("canary_loop", max_attempts=1)
async def canary_loop(ctx: Context, args: Args) -> None:
    password = args.password.get_secret_value()
    ctx.log.info("signing_in", password=password)
    line = f"signing in with {password}"
    ctx.log.warning(line)
    logging.getLogger("a.library").warning("signing in with %s", password)
    await ctx.progress(1, 2)
    try:
        int(password)
    except ValueError as error:
        error.add_note(f"it was {password}")
        raise RuntimeError(f"cannot sign in with {password}") from error


@job("canary_thread", max_attempts=1)
def canary_thread(ctx: ThreadContext, args: Args) -> None:
    ctx.log.info("signing_in", authorization=f"Bearer {args.password.get_secret_value()}")
    raise RuntimeError(f"cannot sign in with {args.password.get_secret_value()}")


@job("canary_process", max_attempts=1, runs="process")
def canary_process(ctx: ThreadContext, args: Args) -> None:
    line = f"signing in with {args.password.get_secret_value()}"
    ctx.log.info(line)
    raise RuntimeError(f"cannot sign in with {args.password.get_secret_value()}")


@job("canary_takes", max_attempts=2, retry=RetryPolicy(base=0.01))
async def canary_takes(_ctx: Context, args: Args) -> int:
    """Keeps its secret to itself."""
    return len(args.password.get_secret_value())
