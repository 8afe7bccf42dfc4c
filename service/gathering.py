"""Waits for more callers to join a piece of work that is done once for all of them."""

import asyncio
import time
from collections.abc import Callable


async def gather(waiting: Callable[[], int], *, enough: int, quiet_turns: int, within_s: float) -> None:
    """Wait while turns of the loop bring more callers, until there are `enough`, for `within_s` at most.

    `waiting` counts the callers that have joined. After `quiet_turns` without a new one nobody else is expected, so a
    lone caller waits for some tens of microseconds.
    """
    until, quiet, count = time.monotonic() + within_s, 0, waiting()
    while quiet < quiet_turns and count < enough and time.monotonic() < until:
        await asyncio.sleep(0)
        before, count = count, waiting()
        quiet = quiet + 1 if count == before else 0
