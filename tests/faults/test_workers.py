"""Workers that die, freeze, stop and block."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from signal import Signals

import pytest
from sqlalchemy import select

from service.tables import workers
from tests.faults.form import Figures
from tests.faults.load import Load, enqueue_by_arq, loading
from tests.faults.system import System
from tests.faults.verdict import Verdict, verdict
from tests.support.running import eventually

RESCUED_WITHIN_S = 30.0


def long_work(chance: random.Random) -> dict[str, float]:
    """Args of jobs that take up to three seconds, so that a kill always hits some."""
    return {"seconds": round(chance.uniform(0, 3), 3)}


@pytest.mark.short("postgres")
async def test_workers_killed_under_load_lose_nothing(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"  # kills may hit a healthy job more often than MAX_CRASHES allows
    await system.start(workers=3)
    killed: dict[int, datetime] = {}
    async with loading(system, chance, args=long_work) as load:
        for _ in range(20 if whole else 2):
            await asyncio.sleep(2)
            victim = chance.choice(system.workers)
            await victim.kill()
            killed[victim.pid] = datetime.now(UTC)
            system.workers.remove(victim)
            system.add_worker()
    ended = await verdict(system, load)
    assert ended.crashed
    recovered_after_s = ended.recovered_after_s(max(killed.values()), load)
    waited_s = max(await _waits_for_rescue(system, ended, killed))
    figures(
        "worker kill -9 every 2 s",
        **ended.figures,
        crashed=ended.crashed,
        longest_wait_s=waited_s,
        recovered_after_s=recovered_after_s,
    )
    assert recovered_after_s <= RESCUED_WITHIN_S


async def test_healthy_jobs_survive_any_number_of_killed_workers(
    system: System, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=2)
    load = Load()
    for number in range(40):
        await load.post(system.client, f"h{number}", {"seconds": 5})
    for _ in range(6):
        await asyncio.sleep(chance.uniform(3, 9))
        victim = system.workers.pop(chance.randrange(2))
        await victim.kill()
        await system.registered(system.add_worker())
    # By then many may be suspects: each worker runs them one at a time, each in a process of its own.
    ended = await verdict(system, load, within_s=300)
    isolated = sum(ended.rows[job_id]["crashes"] >= 2 for job_id in ended.rows)
    figures("2 workers killed 6 times under 40 jobs of 5 s", **ended.figures, isolated=isolated)


async def test_killed_worker_costs_no_crash_for_jobs_that_waited_for_a_slot(system: System, figures: Figures) -> None:
    slots, kills = 4, 3
    system.settings["MAX_JOBS"] = str(slots)
    await system.start(workers=0)
    load = Load()
    await asyncio.gather(*(_post_many(load, system, lane, 150) for lane in range(4)))
    await system.registered(system.add_worker())
    for _ in range(kills):
        had = sum(system.effects().values())

        async def goes_on(had: int = had) -> bool:
            return sum(system.effects().values()) > had + 20

        await eventually(goes_on, 60)
        await system.workers.pop().kill()
        await system.registered(system.add_worker())
    ended = await verdict(system, load)
    interrupted = sum(attempt["outcome"] == "interrupted" for tried in ended.attempts.values() for attempt in tried)
    figures("worker kill -9 among short jobs", **ended.figures, crashed=ended.crashed, interrupted=interrupted)
    assert ended.crashed <= kills * slots


async def _post_many(load: Load, system: System, lane: int, count: int) -> None:
    for number in range(count):
        await load.post(system.client, f"s{lane}-{number}", {"seconds": 0.02})


async def _waits_for_rescue(system: System, ended: Verdict, killed: Mapping[int, datetime]) -> list[float]:
    """Return how long after the kill the next attempt began, for each crashed one."""
    async with system.ledger() as ledger, ledger.read() as connection:
        pids = {row.id: row.pid for row in await connection.execute(select(workers.c.id, workers.c.pid))}
    return [
        round((later["started_at"] - killed[pids[earlier["worker"]]]).total_seconds(), 1)
        for tried in ended.attempts.values()
        for earlier, later in itertools.pairwise(tried)
        if earlier["outcome"] == "crashed"
    ]


async def test_job_of_a_killed_worker_runs_again_within_30_s(system: System, figures: Figures) -> None:
    await system.start(workers=1)
    load = Load()
    job_ids = [await load.post(system.client, f"k{n}", {"seconds": 10}) for n in range(8)]
    adopted = [f"arq-{n}" for n in range(8)]
    for job_id in adopted:
        await enqueue_by_arq(system, load.kind, job_id, {"seconds": 10})
    job_ids += adopted
    await _all_in_state(system, job_ids, "running")
    await system.registered(system.add_worker())
    killed_at = datetime.now(UTC)
    await system.workers[0].kill()
    ended = await verdict(system, load)
    crashed = [job_id for job_id in job_ids if "crashed" in ended.outcomes(job_id)]
    assert set(adopted) < set(crashed)
    recovered_after_s = max(
        (ended.attempts[job_id][-1]["started_at"] - killed_at).total_seconds() for job_id in crashed
    )
    assert recovered_after_s <= RESCUED_WITHIN_S
    figures("worker kill -9", **ended.figures, recovered_after_s=round(recovered_after_s, 1))


async def _all_in_state(system: System, job_ids: list[str], state: str, within_s: float = 30) -> None:
    async def check() -> bool:
        answers = [await system.client.get(f"/v1/jobs/{job_id}") for job_id in job_ids]
        return all(answer.json().get("state") == state for answer in answers)

    await eventually(check, within_s)


async def test_poison_ends_failed_and_takes_no_neighbour_with_it(system: System, figures: Figures) -> None:
    await system.start(workers=2)
    neighbours, poison = Load("fault_once"), Load("fault_poison")
    poisonous = [await poison.post(system.client, f"p{n}", {"seconds": 0.5}) for n in range(2)]
    for number in range(20):
        await neighbours.post(system.client, f"n{number}", {"seconds": 2})
    began = datetime.now(UTC)

    async def poison_is_over() -> bool:
        for worker in list(system.workers):
            if worker.status is not None:
                system.workers.remove(worker)
                system.add_worker()
        answers = [await system.client.get(f"/v1/jobs/{job_id}") for job_id in poisonous]
        return all(answer.json()["state"] == "failed" for answer in answers)

    await eventually(poison_is_over, 300)
    over_after_s = (datetime.now(UTC) - began).total_seconds()
    # By then all of them may be suspects: each worker runs them one at a time, each in a process of its own.
    ended = await verdict(system, neighbours, within_s=300)
    failed = await verdict(system, poison, may_fail=poisonous)
    for job_id in poisonous:
        assert failed.outcomes(job_id) == ["crashed"] * 3
        assert "crash" in failed.rows[job_id]["error_message"]
    figures("poison job (os._exit)", **ended.figures, recovered_after_s=round(over_after_s, 1))


async def test_frozen_worker_that_comes_back_cannot_finish_rescued_jobs(system: System, figures: Figures) -> None:
    await system.start(workers=1)
    zombie = system.workers[0]
    load = Load()
    job_ids = [await load.post(system.client, f"z{n}", {"seconds": 15}) for n in range(5)]
    await _all_in_state(system, job_ids, "running")
    await system.registered(system.add_worker())
    frozen_at = datetime.now(UTC)
    zombie.send(Signals.SIGSTOP)
    await _all_in_state(system, job_ids, "succeeded", within_s=120)
    zombie.send(Signals.SIGCONT)

    async def knows() -> bool:
        return zombie.said("worker_was_declared_dead")

    await eventually(knows)
    ended = await verdict(system, load)
    for job_id in job_ids:
        assert ended.outcomes(job_id) == ["crashed", "succeeded"]
    waits = [(tried[-1]["started_at"] - frozen_at).total_seconds() for tried in ended.attempts.values()]
    assert max(waits) <= RESCUED_WITHIN_S
    figures("worker SIGSTOP past its lease, SIGCONT", **ended.figures, recovered_after_s=round(max(waits), 1))


@pytest.mark.short("sqlite")
async def test_rolling_restarts_fail_nothing_and_spend_no_attempt(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["GRACE_S"] = "0.5"
    await system.start(workers=2)
    async with loading(system, chance, kind="fault_once", args=long_work) as load:
        for _ in range(20 if whole else 1):
            await system.registered(system.add_worker())
            oldest = system.workers.pop(0)
            oldest.send(Signals.SIGTERM)
            assert await oldest.ended(30) == 0
    ended = await verdict(system, load)
    mine = [row for row in ended.rows.values() if row["kind"] == load.kind]
    assert all(row["failures"] == row["crashes"] == 0 for row in mine)
    interrupted = sum("interrupted" in ended.outcomes(job_id) for job_id in ended.rows)
    figures(f"{20 if whole else 1} rolling restarts, max_attempts=1", **ended.figures, interrupted=interrupted)


async def test_second_sigterm_ends_a_worker_at_once(system: System) -> None:
    system.settings["GRACE_S"] = "60"
    await system.start(workers=1)
    load = Load("fault_once")
    job_id = await load.post(system.client, "s", {"seconds": 20})
    await _all_in_state(system, [job_id], "running")
    worker = system.workers.pop()
    worker.send(Signals.SIGTERM)

    async def is_stopping() -> bool:
        return worker.said("worker_stopping")

    await eventually(is_stopping)
    worker.send(Signals.SIGTERM)
    assert await worker.ended(15) == 0
    await _all_in_state(system, [job_id], "queued")


async def test_blocked_loop_does_not_count_as_death_and_is_logged_with_its_kinds(
    system: System, figures: Figures
) -> None:
    await system.start(workers=2)
    load = Load("fault_block")
    job_id = await load.post(system.client, "b", {"seconds": 28})
    ended = await verdict(system, load)
    assert ended.outcomes(job_id) == ["succeeded"]
    assert any(worker.said("fault_block") and worker.said("blocked") for worker in system.workers)
    figures("event loop blocked for 28 s", **ended.figures, crashed=ended.crashed)
