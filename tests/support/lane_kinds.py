"""Kinds that record what runs, for tests of lanes, whose worker runs in the same loop."""

import asyncio
from collections import defaultdict

from pydantic import BaseModel

from jobs import Context, Retry, RetryPolicy, job


class Gauge:
    """What runs now, by lane; how many ran at once at most; which jobs began, in order."""

    def __init__(self) -> None:
        self.now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.failing: set[str] = set()

    def begin(self, lane: str, name: str) -> None:
        self.now[lane] += 1
        self.most[lane] = max(self.most[lane], self.now[lane])
        self.begun.append(name)


gauge = Gauge()


class Args(BaseModel):
    name: str = ""
    host: str = "a"
    seconds: float = 0.0
    waits: bool = False


@job("visit", max_attempts=5, retry=RetryPolicy(delays=(0.05,) * 4), lane=lambda args: f"host:{args.host}")
async def visit(_ctx: Context, args: Args) -> None:
    lane = f"host:{args.host}"
    gauge.begin(lane, args.name)
    try:
        if args.host in gauge.failing:
            raise ConnectionRefusedError("nobody listens")
        await (gauge.go_on.wait() if args.waits else asyncio.sleep(args.seconds))
    finally:
        gauge.now[lane] -= 1


@job("plain", max_attempts=1)
async def plain(_ctx: Context, args: Args) -> None:
    gauge.begin("plain", args.name)
    try:
        await (gauge.go_on.wait() if args.waits else asyncio.sleep(args.seconds))
    finally:
        gauge.now["plain"] -= 1


@job("flaky", max_attempts=10, retry=RetryPolicy(delays=(0.1,) * 9))
async def flaky(ctx: Context, args: Args) -> None:
    gauge.begin("flaky", args.name)
    gauge.now["flaky"] -= 1
    if ctx.attempt == 1 and args.waits:
        raise Retry("not yet")
