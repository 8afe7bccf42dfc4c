"""How long others are waited for."""

import asyncio
import math

from service.gathering import gather


async def test_goes_on_while_others_join_and_then_at_once() -> None:
    joined = 1

    async def join_every_other_turn() -> None:
        nonlocal joined
        for _ in range(5):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            joined += 1

    joining = asyncio.create_task(join_every_other_turn())
    await gather(lambda: joined, enough=1_000, quiet_turns=3, within_s=math.inf)
    assert joined == 6
    await joining


async def test_waits_for_nobody_once_there_are_enough() -> None:
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await gather(lambda: 10, enough=10, quiet_turns=3, within_s=math.inf)
    assert not turns


async def test_ends_in_time_however_many_join() -> None:
    joined = 0

    def join() -> int:
        nonlocal joined
        joined += 1
        return joined

    async with asyncio.timeout(5):
        await gather(join, enough=1_000_000_000, quiet_turns=1, within_s=0.01)
