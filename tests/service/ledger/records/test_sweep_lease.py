from datetime import timedelta
from functools import partial

import pytest

from service.ledger.leases import LONGEST_SWEEP_LEASE, SWEEP_LEASE
from service.ledger.ledger import Ledger
from service.ledger.reads.audit import sweeping
from service.ledger.records.sweep_lease import record_behind, record_leader, record_released, record_swept
from tests.service.ledger.makers import NOW

SECOND = timedelta(seconds=1)


async def leads(ledger: Ledger, process: str, after: timedelta = timedelta(0)) -> bool:
    return await ledger.database.run(partial(record_leader, leader=process, at=NOW + after))


async def test_one_process_leads_until_its_lease_runs_out(ledger: Ledger) -> None:
    assert await leads(ledger, "a")
    assert not await leads(ledger, "b", SWEEP_LEASE)
    assert await leads(ledger, "a", SWEEP_LEASE), "renewed"
    assert await leads(ledger, "b", 2 * SWEEP_LEASE + SECOND)
    assert not await leads(ledger, "a", 2 * SWEEP_LEASE + SECOND)


@pytest.mark.parametrize("ahead", [LONGEST_SWEEP_LEASE, timedelta(days=1)])
async def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_off(ledger: Ledger, ahead: timedelta) -> None:
    assert await leads(ledger, "a", ahead)
    assert await leads(ledger, "b", -SECOND)


async def test_a_released_lease_is_free_at_once(ledger: Ledger) -> None:
    assert await leads(ledger, "a")
    await ledger.database.run(partial(record_released, leader="b", at=NOW))
    assert not await leads(ledger, "b", SECOND)
    await ledger.database.run(partial(record_released, leader="a", at=NOW))
    assert await leads(ledger, "b", SECOND)


async def test_only_the_leader_says_how_the_sweep_fares(ledger: Ledger) -> None:
    await leads(ledger, "a")
    for process, epoch, after in (("a", "e1", 0), ("b", "e2", 1), ("a", "e1", 2)):
        await ledger.database.run(partial(record_swept, leader=process, epoch=epoch, at=NOW + after * SECOND))
    await ledger.database.run(partial(record_behind, leader="b"))
    async with ledger.read() as connection:
        state = await sweeping(connection)
    assert (state.epoch, state.swept_at, state.swept_since) == ("e1", NOW + 2 * SECOND, NOW)
    await ledger.database.run(partial(record_behind, leader="a"))
    async with ledger.read() as connection:
        assert (await sweeping(connection)).swept_since is None
