"""A worker's lease: lost, replaced, and what the ledger alone says it covers."""

from datetime import UTC, datetime, timedelta

from service.ledger.models import Start
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import lease_of, register_rescuer, rest


async def test_worker_declared_dead_takes_a_new_id_and_its_old_id_starts_nothing(desk: Desk) -> None:
    workload, lease = lease_of(desk)
    await lease.begin()
    old = workload.worker_id
    await desk.make_silent(old, datetime.now(UTC) - timedelta(minutes=1))
    await desk.sweep_as(await register_rescuer(desk)).sweep()
    lease.lose(old)
    was_lost = workload.lease_lost
    await lease.begin_anew_if_lost()
    assert (was_lost, workload.lease_lost) == (True, False)
    assert workload.worker_id != old
    job_id = await desk.record_only(rest)
    of_old, of_new = (Start((job_id,), worker, ("rest",), datetime.now(UTC)) for worker in (old, workload.worker_id))
    assert not await desk.ledger.start(of_old)
    assert await desk.ledger.start(of_new)


async def test_attempt_that_the_worker_never_heard_of_is_handed_back(desk: Desk) -> None:
    workload, lease = lease_of(desk)
    await lease.begin()
    known, unknown = await desk.record_only(rest), await desk.record_only(rest)
    await desk.ledger.start(Start((known, unknown), workload.worker_id, ("rest",), datetime.now(UTC)))
    workload.reserve([known])
    await lease.hand_back_unknown()
    assert (await desk.row(known))["state"] == "running"
    assert (await desk.row(unknown))["state"] == "queued"
    assert await desk.outcomes(unknown) == ["interrupted"]
