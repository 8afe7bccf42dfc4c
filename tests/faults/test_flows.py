"""Flows under faults: random ones end as a model says, whatever breaks; each end is followed up once."""

import asyncio
import random
import sys
import time
from functools import partial
from signal import Signals

import httpx
import pytest

from tests.faults.failpoint_worker import FAILPOINT, FAILPOINTS
from tests.faults.flow_plans import FlowPlan, JobPlan, random_plan, run_late_ones_now
from tests.faults.form import Figures
from tests.faults.load import Load
from tests.faults.redis_faults import flushed, killed_and_restarted
from tests.faults.system import System
from tests.faults.verdict import all_ended, verdict
from tests.support.rescuing import let_be_silent, let_it_rescue, let_the_rescue_be_now
from tests.support.servers import PostgresServer, RedisServer

MORTAL_WORKER = (sys.executable, "-m", "tests.faults.failpoint_worker")


class Flows:
    """Sends random flows, and mends them once they have ended; how they end is the verdict's."""

    def __init__(self, system: System, chance: random.Random) -> None:
        self.load = Load()
        self._system = system
        self._chance = chance
        self._mended = system.folder / "mended"

    async def send(self, count: int) -> None:
        """Send this many flows, several at a time."""
        plans = [random_plan(self._chance, self._chance.randint(2, 9), str(self._mended)) for _ in range(count)]
        turns = asyncio.Semaphore(4)

        async def send_one(plan: FlowPlan) -> None:
            async with turns:
                await self.load.post_flow(self._system.client, f"f{id(plan)}", plan)
            await run_late_ones_now(self._system.client, plan, within_s=180)

        await asyncio.gather(*(send_one(plan) for plan in plans))

    async def replay(self) -> None:
        """Mend what is broken, and replay each flow that has failed, until the API has heard it."""
        self._mended.touch()
        for plan in self.load.flows:
            plan.mend()
            while plan.over[-1] != "succeeded" and not await self._is_replayed(plan):
                await asyncio.sleep(0.1)
        late = (run_late_ones_now(self._system.client, plan, within_s=180) for plan in self.load.flows)
        await asyncio.gather(*late)

    async def _is_replayed(self, plan: FlowPlan) -> bool:
        try:
            answer = await self._system.client.post(f"/v1/flows/{plan.id}/replay")
        except httpx.TransportError:
            return False
        return answer.status_code in (httpx.codes.OK, httpx.codes.CONFLICT)


async def _kill_one(system: System, chance: random.Random) -> int:
    """Kill a worker, start another, and return the pid of the dead one."""
    victim = system.workers.pop(chance.randrange(len(system.workers)))
    await victim.kill()
    system.add_worker()
    return victim.pid


@pytest.mark.short("postgres")
async def test_random_flows_end_as_the_model_says_while_workers_are_killed_and_redis_forgets(
    system: System, own_redis: RedisServer, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await system.start(workers=3 if whole else 2)
    flows = Flows(system, chance)

    killed: set[int] = set()

    async def strike() -> None:
        for number in range(10 if whole else 1 - len(killed)):
            await asyncio.sleep(2 if whole else 0.5)
            killed.add(await _kill_one(system, chance))
            if whole and number % 3 == 1:
                await chance.choice([flushed, killed_and_restarted])(own_redis)
        await flushed(own_redis)

    for act in (partial(flows.send, 120 if whole else 10), flows.replay):
        striking = asyncio.create_task(strike())
        await act()
        await striking
        if not whole:
            async with system.ledger() as ledger:
                await let_be_silent(ledger, killed)
        ended = await verdict(system, flows.load, within_s=150)
    figures("flows: worker kill -9 every 2 s, FLUSHALL", **ended.figures, flows=len(flows.load.flows))


async def test_random_flows_end_as_the_model_says_while_postgres_is_restarted(
    hurt: System, own_postgres: PostgresServer, chance: random.Random, figures: Figures
) -> None:
    hurt.settings["MAX_CRASHES"] = "20"
    await hurt.start(workers=2)
    flows = Flows(hurt, chance)

    async def strike() -> None:
        for _ in range(4):
            await asyncio.sleep(1.5)
            await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
            await asyncio.sleep(1.5)
            await asyncio.to_thread(own_postgres.start)

    for act in (partial(flows.send, 80), flows.replay):
        striking = asyncio.create_task(strike())
        await act()
        await striking
        ended = await verdict(hurt, flows.load, within_s=150)
    figures("flows: Postgres immediate stop, start", **ended.figures, flows=len(flows.load.flows))


@pytest.mark.short("postgres")
async def test_parents_that_end_at_the_same_moment_in_different_workers_release_a_child_once(
    system: System, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_JOBS"] = "10"
    await system.start(workers=3)
    load = Load()
    for round_ in range(10 if whole else 2):
        # Twelve at one moment, and as many at another: who released a child too early is seen by the times.
        moments = [time.time() + 2, time.time() + 3]
        parents = [JobPlan(f"p{n}", args={"text": "p", "seconds": 0, "until": moments[n % 2]}) for n in range(24)]
        names = tuple(parent.name for parent in parents)
        children = [JobPlan(f"c{n}", names[n:], args={"text": "c", "seconds": 0}) for n in range(8)]
        await load.post_flow(system.client, f"r{round_}", FlowPlan([*parents, *children]))
        await all_ended(system, 60)
    ended = await verdict(system, load)
    async with system.ledger() as ledger, ledger.read() as connection:
        found = await connection.exec_driver_sql("SELECT DISTINCT worker FROM attempts")
        assert len(found.all()) > 1
    assert set(system.effects().values()) == {1}
    figures("flows: parents end at once in 3 workers", **ended.figures, flows=len(load.flows))


def _wide_plan() -> FlowPlan:
    """Plan jobs that come after one, and one that comes after them: more edges than one followup takes."""
    first = JobPlan("first", args={"text": "first", "seconds": 0})
    others = [JobPlan(f"o{number}", ("first",), args={"text": "o", "seconds": 0}) for number in range(9)]
    names = tuple(one.name for one in others)
    return FlowPlan([first, *others, JobPlan("last", names, args={"text": "last", "seconds": 0})])


@pytest.mark.short("sqlite")
async def test_end_is_followed_up_once_whatever_point_its_worker_dies_at(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await system.start(workers=0)
    load = Load()
    points = FAILPOINTS if whole else chance.sample(FAILPOINTS, 1)
    for point in points:
        await load.post_flow(system.client, point.__name__, _wide_plan())
        worker = system.process(MORTAL_WORKER, point.__name__)
        worker.environment[FAILPOINT] = point.__name__
        worker.start()
        assert await worker.ended(60) == -9, worker.log
    async with system.ledger() as ledger:
        await let_the_rescue_be_now(ledger)
        system.add_worker()
        await let_it_rescue(ledger)
    ended = await verdict(system, load)
    figures(f"flows: worker kill -9 at each of {len(points)} failpoints", **ended.figures, crashed=ended.crashed)
