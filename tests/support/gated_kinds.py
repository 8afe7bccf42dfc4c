"""Kinds whose jobs run until a test in the same process lets them end, loaded through `POSTLUDE_JOBS`."""

import asyncio
from dataclasses import dataclass, field

from pydantic import BaseModel

from jobs import Context, Retry, RetryPolicy, job


@dataclass
class Gate:
    """A gate where jobs wait until it opens; `inside` and `passed` have their ids in order."""

    inside: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def pass_through(self, job_id: str) -> None:
        self.inside.append(job_id)
        try:
            await self._turns.acquire()
            self.passed.append(job_id)
        finally:
            self.inside.remove(job_id)

    def let_out(self, count: int = 1) -> None:
        """Let this many jobs end, now or when they come."""
        for _ in range(count):
            self._turns.release()


GATES: dict[str, Gate] = {}
"""By name; a test that uses a gate makes it."""


class GateArgs(BaseModel):
    gate: str


@job("gated", timeout=60)
async def gated(ctx: Context, args: GateArgs) -> None:
    """Stay at a gate."""
    await GATES[args.gate].pass_through(ctx.job_id)


@job("gated_too", timeout=60)
async def gated_too(ctx: Context, args: GateArgs) -> None:
    """Do the same as another kind."""
    await GATES[args.gate].pass_through(ctx.job_id)


class HoldArgs(BaseModel):
    seconds: str


@job("holds_lane", lane="dest:busy", retry=RetryPolicy(base=60))
async def holds_lane(_ctx: Context, args: HoldArgs) -> None:
    """Ask for the lane to be held for any number of seconds."""
    raise Retry("busy", hold_lane=float(args.seconds))
