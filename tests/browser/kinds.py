"""Kinds for the browser: one of each fate."""

import asyncio
import threading
from typing import Literal

from pydantic import BaseModel, SecretStr

from jobs import Context, Retry, RetryPolicy, job

released = threading.Event()
"""Lets what holds on go. Each module has a loop of its own, and one of asyncio's belongs to the first."""


class Line(BaseModel):
    product: str
    count: int = 1


class OrderArgs(BaseModel):
    customer: str
    note: str = ""
    express: bool = False
    size: Literal["small", "large"] = "small"
    lines: list[Line] = []
    code: SecretStr | None = None


@job("pack_order", slo="99% in 60s")
async def pack_order(ctx: Context, args: OrderArgs) -> dict[str, str]:
    """Pack an `order`, and say so."""
    ctx.log.warning("packing", customer=args.customer, note=args.note)
    await ctx.step(f"weigh {args.note}"[:100], _weigh, args.note)
    return {"packed for": args.customer, "note": args.note}


async def _weigh(note: str) -> str:
    return note


class Stumble(Exception):
    """What goes wrong."""


class StumbleArgs(BaseModel):
    message: str = "the scale is broken"
    again: float | None = None


@job("stumble", max_attempts=2, retry=RetryPolicy(delays=(0.01,)))
async def stumble(ctx: Context, args: StumbleArgs) -> None:
    """Fail, or try again after a while."""
    ctx.log.error(args.message)
    if args.again is not None:
        raise Retry(args.message, after=args.again)
    raise Stumble(args.message)


class HoldArgs(BaseModel):
    note: str = ""


@job("hold_on", timeout=600)
async def hold_on(ctx: Context, args: HoldArgs) -> str:
    """Run until it is let go."""
    ctx.log.warning(args.note or "holding on")
    await ctx.progress(310, 500)
    while not released.is_set():
        await asyncio.sleep(0.02)
    return args.note
