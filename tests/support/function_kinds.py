"""Kinds that are functions with parameters of their own, on the loop and in threads: loaded through `POSTLUDE_JOBS`."""

import threading
import time
from pathlib import Path
from typing import Annotated

from pydantic import EmailStr, Field, SecretStr

from jobs import Context, RetryPolicy, ThreadContext, job

UNSET = SecretStr("unset")


@job("fn_welcome", lane=lambda args: f"welcome:{args.name}")
async def welcome(
    email: EmailStr,
    ctx: Context,
    token: SecretStr = UNSET,
    *,
    name: Annotated[str, Field(max_length=9)] = "you",
) -> str:
    """Welcome somebody."""
    return f"{email} {name} {len(token.get_secret_value())} {ctx.attempt}"


@job("fn_count", max_attempts=2, retry=RetryPolicy(base=0.001, cap=0.001))
def count(upto: int, ctx: ThreadContext, then: EmailStr = "ann@example.com") -> dict[str, object]:
    """Use all that a context has, and fail once."""
    in_main = threading.current_thread() is threading.main_thread()
    total = ctx.step("sum", sum, range(upto))
    ctx.log.info("counted", total=total)
    if ctx.attempt == 1:
        ctx.checkpoint({"at": total})
        raise ValueError("once")
    ctx.progress(upto, upto)
    next_job = ctx.enqueue("fn_welcome", {"email": then}, after=[ctx.job_id])
    return {"in_main": in_main, "restored": ctx.restored, "results": len(ctx.results), "next": next_job}


@job("fn_outlives", timeout=0.3, max_attempts=1)
def outlives(ctx: ThreadContext, gate: Path, diary: Path) -> None:
    """Wait for the gate without looking at the clock, and try to go on."""
    while not gate.exists():
        time.sleep(0.01)
    try:
        ctx.enqueue("fn_welcome", {"email": "late@example.com"})
    except BaseException as error:
        diary.write_text(type(error).__name__)
        raise


@job("fn_exits", max_attempts=1)
def exits(code: int) -> None:
    raise SystemExit(code)
