"""Who leads the sweep, and what the leader records for the audit."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from service.ledger.reads import audit
from service.ledger.reads.sweep_lease import read_lease
from service.settings import Settings
from service.tables import sweep_lease
from service.worker.keeping.sweep import Sweep
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import forgotten, rest, set_lease
from tests.support.running import catalogue_of, eventually, running_worker


async def test_of_many_candidates_one_leads(desks: tuple[Desk, Desk]) -> None:
    leaderships = [desk.sweep_as().leadership for desk in desks]
    assert sorted(await asyncio.gather(*(one.is_held() for one in leaderships))) == [False, True]


async def test_a_lease_is_renewed_before_it_runs_out(desks: tuple[Desk, Desk]) -> None:
    leader, other = (desk.sweep_as() for desk in desks)
    await leader.sweep()
    await set_lease(desks[0], datetime.now(UTC) + timedelta(seconds=5))
    await leader.sweep()
    assert not await other.leadership.is_held()
    async with desks[0].ledger.read() as connection:
        left = (await read_lease(connection)).left  # type: ignore[union-attr]
    assert left > timedelta(seconds=7)


async def test_a_stopped_worker_lets_another_sweep(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(rest)):

        async def led() -> bool:
            async with desk.ledger.read() as connection:
                return (await connection.execute(sweep_lease.select())).first() is not None

        await eventually(led)
    assert await desk.sweep_as().leadership.is_held()


async def judged(desk: Desk) -> audit.Sweeping:
    async with desk.ledger.read() as connection:
        return await audit.sweeping(connection)


async def renew(desk: Desk, sweeping: Sweep) -> None:
    """Sweep twice, and have the lease renewed: only then is the first pass noted."""
    await sweeping.sweep()
    await set_lease(desk, datetime.now(UTC) + timedelta(seconds=1))
    await sweeping.sweep()


async def test_whole_passes_are_noted_with_the_queues_epoch(desk: Desk) -> None:
    await renew(desk, desk.sweep_as())
    noted = await judged(desk)
    assert noted.epoch == await desk.queue.epoch()
    assert noted.swept_at is not None
    await renew(desk, desk.sweep_as())
    assert (await judged(desk)).swept_since == noted.swept_since


@pytest.mark.parametrize("fault", ["away", "wiped"])
async def test_after_an_outage_of_redis_nothing_is_judged_until_it_is_mended(
    desk: Desk, redis: Redis, fault: str
) -> None:
    sweeping = desk.sweep_as()
    await renew(desk, sweeping)
    await forgotten(desk)
    if fault == "away":
        await redis.replicaof("127.0.0.1", "1")
    else:
        await redis.flushall()
    await sweeping.sweep()
    await redis.replicaof("NO", "ONE")
    assert (await judged(desk)).swept_at is None
    await renew(desk, sweeping)
    assert (await judged(desk)).swept_at is not None
