"""docket on uvloop, which limits concurrency and rate for each value of an argument."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import uvloop
from docket import ConcurrencyLimit, Docket
from docket.dependencies import RateLimit

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened

DISTRIBUTION = "pydocket"
NAME = "bench"

# Set on import: its command makes the loop after it has imported this file.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

_LIMITS = {
    "rate": RateLimit(tasks.CALLS_PER_S, per=timedelta(seconds=1)),
    "concurrency": ConcurrencyLimit(surroundings.share()),
}
Key = Annotated[str, _LIMITS[surroundings.limit()]] if surroundings.limit() else str


async def call(key: Key, url: str) -> None:
    await tasks.call(url)


functions = [call]


class DocketPeer:
    def __init__(self, docket: Docket) -> None:
        self._docket = docket

    async def call(self, key: str, urls: Sequence[str]) -> None:
        for first in range(0, len(urls), 50):
            await asyncio.gather(*(self._docket.add(call)(key=key, url=url) for url in urls[first : first + 50]))


@asynccontextmanager
async def opened() -> Opened:
    async with Docket(name=NAME, url=surroundings.redis_url()) as docket:
        yield DocketPeer(docket)


def worker(slots: int) -> list[str]:
    options = ["--docket", NAME, "--url", surroundings.redis_url(), "--tasks", "benchmarks.peers.docket:functions"]
    # By `-m`, so that the current folder is on the import path.
    return ["python", "-m", "docket", "worker", *options, "--concurrency", str(slots), "--logging-level", "WARNING"]
