"""Lanes under faults: a receiver counts what is in flight, and no limit is exceeded, whatever breaks."""

import asyncio
import random
import shutil
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from signal import Signals

import httpx
import pytest

from tests.faults.form import Figures
from tests.faults.lane_driving import are_here, fill, hold_three_of_eight, lanes_are_open, three_still_run_and_all_end
from tests.faults.load import Load, loading
from tests.faults.redis_faults import FAULTS, flushed, killed_and_restarted
from tests.faults.system import API, WORKER, System
from tests.faults.verdict import verdict
from tests.support.lane_receiver import inversions, most_at_once
from tests.support.proxy import proxying
from tests.support.running import eventually
from tests.support.servers import PostgresServer, RedisServer

FAKETIME = shutil.which("faketime")
RESCUED_WITHIN_S = 30.0


@pytest.mark.parametrize("name", FAULTS)
async def test_what_runs_in_a_lane_still_counts_after_redis_has_lost_it(
    system: System, own_redis: RedisServer, name: str
) -> None:
    await system.start(workers=2)
    load = Load("fault_call")
    await hold_three_of_eight(system, load)
    await FAULTS[name](own_redis)
    await three_still_run_and_all_end(system, load)


@pytest.mark.short("sqlite")
async def test_what_runs_in_a_lane_still_counts_after_redis_was_flushed_again_and_again(
    system: System, own_redis: RedisServer, whole: bool
) -> None:
    await system.start(workers=2)
    load = Load("fault_call")
    await hold_three_of_eight(system, load)
    for _ in range(5 if whole else 2):
        await flushed(own_redis)
        await lanes_are_open(system, load)
        assert len(system.receiver.of("held")) == 3
    await flushed(own_redis)
    await three_still_run_and_all_end(system, load)


async def test_lanes_stay_closed_while_neither_redis_nor_the_ledger_knows_what_runs(
    hurt: System, own_postgres: PostgresServer, own_redis: RedisServer
) -> None:
    await hurt.start(workers=2)
    load = Load("fault_call")
    await hold_three_of_eight(hurt, load)
    await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
    await flushed(own_redis)
    await asyncio.sleep(3)
    assert len(hurt.receiver.of("held")) == 3
    await asyncio.to_thread(own_postgres.start)
    await three_still_run_and_all_end(hurt, load)


async def test_limits_hold_when_redis_forgets_and_the_worker_that_may_rebuild_lanes_dies(
    system: System, own_redis: RedisServer, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await system.start(workers=3)
    async with loading(system, chance) as load:
        for _ in range(8 if whole else 2):
            await asyncio.sleep(chance.uniform(0, 3))
            await flushed(own_redis)
            await asyncio.sleep(chance.uniform(0, 1))
            await system.workers.pop(0).kill()
            system.add_worker()
    ended = await verdict(system, load, within_s=150)
    figures("FLUSHALL and worker kill -9 together", **ended.figures, crashed=ended.crashed)


async def test_only_the_attempts_of_a_frozen_worker_come_on_top_of_a_limit(system: System, figures: Figures) -> None:
    await system.start(workers=1)
    zombie = system.workers[0]
    load = Load("fault_call")
    await hold_three_of_eight(system, load)
    await system.registered(system.add_worker())
    zombie.send(Signals.SIGSTOP)
    frozen_at = datetime.now(UTC)
    await are_here(system, "held", 6, within_s=60)
    rescued_after_s = (datetime.now(UTC) - frozen_at).total_seconds()
    living = [visit for visit in system.receiver.of("held") if visit.pid != zombie.pid]
    assert most_at_once(living) == 3
    zombie.send(Signals.SIGCONT)
    await are_here(system, "held", 3)
    system.receiver.speak("held")
    ended = await verdict(system, load, frozen={zombie.pid})
    visits = system.receiver.of("held")
    assert most_at_once(visit for visit in visits if visit.pid != zombie.pid) == 3
    assert most_at_once(visits) == 6
    assert rescued_after_s <= RESCUED_WITHIN_S + 10  # the jobs are found again, and then their lane is
    figures("SIGSTOP of a worker that fills a lane", **ended.figures, recovered_after_s=round(rescued_after_s, 1))


async def test_only_the_attempts_of_a_worker_cut_off_from_the_ledger_come_on_top_of_a_limit(
    hurt: System, own_postgres: PostgresServer, figures: Figures
) -> None:
    async with proxying(own_postgres.folder / ".s.PGSQL.5432") as proxy:
        await hurt.start(workers=0)
        through = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/hurt"
        cut_off = hurt.add_worker(DATABASE_URL=through)
        await hurt.registered(cut_off)
        load = Load("fault_call")
        await hold_three_of_eight(hurt, load)
        await hurt.registered(hurt.add_worker())
        proxy.black_hole = True
        await are_here(hurt, "held", 6, within_s=60)
        living = [visit for visit in hurt.receiver.of("held") if visit.pid != cut_off.pid]
        assert most_at_once(living) == 3
        proxy.heal()
        await are_here(hurt, "held", 3, within_s=60)
        hurt.receiver.speak("held")
        ended = await verdict(hurt, load, frozen={cut_off.pid})
        assert most_at_once(visit for visit in hurt.receiver.of("held") if visit.pid != cut_off.pid) == 3
        figures("a worker that fills a lane loses Postgres", **ended.figures)


@pytest.mark.parametrize("longest_s", [12, 30], ids=["within-the-lease", "past-the-lease"])
async def test_workers_frozen_under_load_exceed_no_limit_when_they_come_back(
    system: System, chance: random.Random, longest_s: float, figures: Figures
) -> None:
    await system.start(workers=3)
    frozen: set[int] = set()
    async with loading(system, chance) as load:
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.5, 2))
            victim = chance.choice(system.workers)
            victim.send(Signals.SIGSTOP)
            await asyncio.sleep(chance.uniform(1, longest_s))
            victim.send(Signals.SIGCONT)
            frozen.add(victim.pid)
    # A worker that was frozen within its lease has lost nothing: its attempts count like all others.
    ended = await verdict(system, load, within_s=150, frozen=frozen if longest_s > 12 else ())
    figures(f"workers SIGSTOPped for up to {longest_s:g} s", **ended.figures, crashed=ended.crashed)


async def pause(system: System, what: str, action: str) -> None:
    """Pause or resume; while Redis is away this is recorded, and holds as soon as Redis is back (202)."""
    answer = await system.client.post(f"/v1/{what}/{action}")
    assert answer.status_code in (httpx.codes.OK, httpx.codes.ACCEPTED), answer.text


PAUSED = ("lanes/paused", "kinds/fault_once", "queues/slow")


@pytest.mark.parametrize("name", ["kill -9, restart after 3 s", "FLUSHALL", "replaced by an empty server"])
async def test_what_is_paused_stays_paused_through_a_fault_and_runs_once_when_it_is_resumed(
    system: System, own_redis: RedisServer, name: str
) -> None:
    system.settings["QUEUES"] = "default,slow"
    system.api = system.process(API)
    await system.start(workers=1)
    for what in PAUSED:
        await pause(system, what, "pause")
    load, once, slow = Load("fault_call"), Load("fault_once"), Load("fault_flaky")
    await fill(system, load, "paused", 3)
    for number in range(3):
        await once.post(system.client, f"once{number}", {})
        await slow.post(system.client, f"slow{number}", {}, queue="slow")
    await FAULTS[name](own_redis)
    await system.workers.pop().kill()
    await system.registered(system.add_worker())
    await lanes_are_open(system, load)
    held = [*once.accepted, *slow.accepted, *list(load.accepted)[:3]]
    states = [(await system.client.get(f"/v1/jobs/{job_id}")).json()["state"] for job_id in held]
    assert states == ["queued"] * 9
    for what in PAUSED:
        await pause(system, what, "resume")
    for part in (load, once, slow):
        assert (await verdict(system, part)).doubled == 0
    assert len(system.receiver.of("paused")) == 3


async def test_pausing_and_resuming_through_faults_and_deploys_sends_nobody_a_second_copy(
    system: System, own_redis: RedisServer, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=2)
    load = Load("fault_call")
    await fill(system, load, "mail", 300, hold_s=0.05, concurrency=5)
    over = asyncio.Event()

    async def press_both_buttons() -> None:
        while not over.is_set():
            what = chance.choice(["lanes/mail", "kinds/fault_call", "queues/default"])
            await pause(system, what, "pause")
            await asyncio.sleep(chance.uniform(0, 0.5))
            await pause(system, what, "resume")
            await asyncio.sleep(chance.uniform(0, 0.5))

    pressing = asyncio.create_task(press_both_buttons())
    for fault in (flushed, killed_and_restarted, flushed):
        await asyncio.sleep(1)
        await fault(own_redis)
        system.workers[0].send(Signals.SIGTERM)
        await system.registered(system.add_worker())
        assert await system.workers.pop(0).ended(30) == 0
    over.set()
    await pressing
    ended = await verdict(system, load)
    visits = system.receiver.of("mail")
    assert Counter(visit.number for visit in visits) == Counter(range(300))
    assert most_at_once(visits) <= 5
    figures("pause, resume, FLUSHALL, restart, deploy", **ended.figures)


async def test_20000_jobs_in_strict_order_keep_it_while_workers_are_killed(
    system: System, chance: random.Random, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await system.start(workers=3)
    await system.receiver.start()
    lanes, count = [f"strict{number}" for number in range(40)], 500
    load = Load("fault_call")
    await asyncio.gather(*(fill_in_batches(system, load, lane, count) for lane in lanes))

    async def arrived(at_least: int) -> bool:
        return len(system.receiver.visits) >= at_least

    for share in range(1, 7):
        await eventually(partial(arrived, 2_500 * share), 300)
        victim = system.workers.pop(chance.randrange(3))
        await victim.kill()
        await system.registered(system.add_worker())
    ended = await verdict(system, load, within_s=300)
    visits = [system.receiver.of(lane) for lane in lanes]
    assert sum(len(inversions(of_lane)) for of_lane in visits) == 0
    assert max(most_at_once(of_lane) for of_lane in visits) == 1
    assert all({visit.number for visit in of_lane} == set(range(count)) for of_lane in visits)
    figures("20,000 jobs in strict order, 6 workers killed", **ended.figures, crashed=ended.crashed)


async def fill_in_batches(system: System, load: Load, lane: str, count: int) -> None:
    for first in range(0, count, 100):
        numbers = range(first, first + 100)
        made = [{"url": system.receiver.url(lane, number=number, refuse=int(number % 50 == 0))} for number in numbers]
        batch = [{"kind": "fault_call", "args": args, "lane": {"key": lane, "order": "strict"}} for args in made]
        answer = await system.client.post("/v1/jobs/batch", json={"jobs": batch})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        load.accepted |= {job["id"]: datetime.now(UTC) for job in answer.json()["jobs"]}


@pytest.mark.skipif(FAKETIME is None, reason="there is no faketime on this machine")
async def test_limits_hold_among_processes_whose_clocks_are_hours_apart(
    system: System, chance: random.Random, figures: Figures
) -> None:
    assert FAKETIME is not None
    system.api.argv = (FAKETIME, "-f", "-1h", *API)
    for off_by in ("+1h", "-1h"):
        worker = system.process((FAKETIME, "-f", off_by, *WORKER), f"worker{off_by}")
        worker.start()
        system.workers.append(worker)
    await system.start(workers=1)
    async with loading(system, chance) as load:
        await asyncio.sleep(10)
    ended = await verdict(system, load)
    figures("clocks an hour ahead and behind", **ended.figures)
