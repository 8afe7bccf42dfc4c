"""What a network can do to the programs that talk over it."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.proxy import FaultProxy

NetworkFault = Callable[[FaultProxy], Awaitable[None]]


def network_faults(
    *, black_hole_s: int, latency_s: float, jitter_s: float, slice_bytes: int
) -> dict[str, NetworkFault]:
    """Return the faults by name. Each lasts until its function returns; the proxy's `heal()` ends its effect."""

    async def black_hole(proxy: FaultProxy) -> None:
        proxy.black_hole = True
        await asyncio.sleep(black_hole_s)

    async def refused(proxy: FaultProxy) -> None:
        proxy.refuse()
        proxy.reset()
        await asyncio.sleep(10)
        await proxy.start()

    async def reset_again_and_again(proxy: FaultProxy) -> None:
        for _ in range(30):
            proxy.reset()
            await asyncio.sleep(proxy.chance.uniform(0.05, 0.3))

    async def slow(proxy: FaultProxy) -> None:
        proxy.latency_s, proxy.jitter_s = latency_s, jitter_s
        await asyncio.sleep(10)

    async def sliced(proxy: FaultProxy) -> None:
        proxy.slice_bytes = slice_bytes
        await asyncio.sleep(10)

    return {
        f"black hole for {black_hole_s} s": black_hole,
        "refused for 10 s": refused,
        "connections reset 30 times": reset_again_and_again,
        f"{latency_s * 1000:.0f}-{(latency_s + jitter_s) * 1000:.0f} ms of latency": slow,
        "sliced writes": sliced,
    }
