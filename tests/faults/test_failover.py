"""A Redis that fails over to a replica, which has not heard of the last things: what runs in lanes still counts."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.form import Figures
from tests.faults.lane_driving import hold_three_of_eight, three_still_run_and_all_end
from tests.faults.load import Load, loading
from tests.faults.redis_faults import client_of
from tests.faults.system import System
from tests.faults.verdict import verdict
from tests.support.processes import free_port
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import eventually
from tests.support.servers import RedisServer

_numbers = itertools.count(1)


@dataclass
class Pair:
    """Two servers; `front` leads to the one that serves, and `link` from the replica to its primary."""

    primary: RedisServer
    replica: RedisServer
    front: FaultProxy
    link: FaultProxy

    async def follow(self) -> None:
        """Make the replica a copy of the primary; done when it is one."""
        self.link.heal()
        self.link.target = "127.0.0.1", self.primary.port
        self.link.reset()
        async with client_of(self.replica) as client:
            await client.replicaof("127.0.0.1", str(self.link.port))

            async def is_in_step() -> bool:
                known = await client.info("replication")
                return bool(known["master_link_status"] == "up")

            await eventually(is_in_step)

    def cut(self) -> None:
        """Let the replica hear nothing more."""
        self.link.black_hole = True

    async def promote(self) -> None:
        """Let the replica serve; the other one is the replica from now on, though it follows nobody yet."""
        async with client_of(self.replica) as client:
            await client.replicaof("NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        self.front.target = self.primary.socket
        self.front.reset()


@pytest.fixture
async def pair(short_dir: Path) -> AsyncIterator[Pair]:
    one, two = (_server(short_dir / f"pair-{name}-{next(_numbers)}") for name in ("one", "two"))
    try:
        for server in (one, two):
            await asyncio.to_thread(server.start)
        async with proxying(one.socket) as front, proxying(("127.0.0.1", one.port)) as link:
            made = Pair(one, two, front, link)
            await made.follow()
            yield made
    finally:
        for server in (one, two):
            server.stop()


def _server(folder: Path) -> RedisServer:
    return RedisServer(folder, ("--repl-diskless-sync-delay", "0"), port=free_port())


@asynccontextmanager
async def over(pair: Pair, database_url: str, folder: Path) -> AsyncIterator[System]:
    """Run a system with two workers over the pair."""
    url = f"redis://127.0.0.1:{pair.front.port}/0"
    system = System(folder, database_url, url)
    try:
        await system.start(workers=2)
        yield system
    finally:
        await system.stop()


async def test_what_runs_in_a_lane_still_counts_on_a_replica_that_never_heard_of_it(
    pair: Pair, database_url: str, tmp_path: Path
) -> None:
    async with over(pair, database_url, tmp_path) as system:
        load = Load("fault_call")
        pair.cut()
        await hold_three_of_eight(system, load)
        await pair.promote()
        await three_still_run_and_all_end(system, load)


async def test_what_runs_in_a_lane_still_counts_after_a_failover_there_and_back(
    pair: Pair, database_url: str, tmp_path: Path
) -> None:
    async with over(pair, database_url, tmp_path) as system:
        load = Load("fault_call")
        pair.cut()
        await hold_three_of_eight(system, load)
        pair.front.refuse()  # nobody sees the other server in between
        await pair.promote()
        await pair.follow()
        await pair.promote()
        await pair.front.start()
        await three_still_run_and_all_end(system, load)


async def test_failovers_under_load_lose_nothing_and_exceed_no_limit(
    pair: Pair, database_url: str, tmp_path: Path, chance: random.Random, whole: bool, figures: Figures
) -> None:
    async with over(pair, database_url, tmp_path) as system:
        async with loading(system, chance) as load:
            for _ in range(6 if whole else 2):
                await asyncio.sleep(chance.uniform(0.5, 2))
                pair.cut()
                await asyncio.sleep(chance.uniform(0, 1))
                await pair.promote()
                await asyncio.sleep(chance.uniform(0, 2))
                await pair.follow()
        ended = await verdict(system, load, within_s=150)
        figures("failover to a replica up to 1 s behind", **ended.figures, crashed=ended.crashed)
        assert not ended.crashed
