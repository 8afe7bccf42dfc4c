"""Waits for others to join what is about to be done for all of them at once."""

import asyncio
import time
from collections.abc import Callable


async def gather(waiting: Callable[[], int], *, enough: int, quiet_turns: int, within_s: float) -> None:
    """Wait while turns of the loop bring more, but for no more than `enough`, nor longer than `within_s`.

    `waiting` counts those that have joined. After `quiet_turns` without a new one nobody else is expected: a lone one
    waits for some tens of microseconds.
    """
    until, quiet, count = time.monotonic() + within_s, 0, waiting()
    while quiet < quiet_turns and count < enough and time.monotonic() < until:
        await asyncio.sleep(0)
        before, count = count, waiting()
        quiet = quiet + 1 if count == before else 0
