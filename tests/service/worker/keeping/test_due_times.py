"""Jobs whose time has come, to run or to fail."""

from datetime import UTC, datetime, timedelta

import pytest

from service.ledger.records.expired import record_expired
from service.settings import Settings
from service.worker.keeping import due_times
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import ago, forgotten, rest
from tests.support.writing import writing


async def test_too_much_to_promote_or_expire_for_one_pass_is_a_full_pass(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_times, "_BATCH", 2)
    due = [await forgotten(desk, state="scheduled") for _ in range(3)]
    late = [await forgotten(desk, expires_at=ago(1), run_at=datetime.now(UTC) + timedelta(hours=1)) for _ in range(3)]
    sweeping = desk.sweep_as()
    while await sweeping.sweep():
        pass
    assert {(await desk.row(job_id))["state"] for job_id in due} == {"queued"}
    assert {(await desk.row(job_id))["error_type"] for job_id in late} == {"Expired"}


async def test_expired_job_fails_before_it_starts(desk: Desk, settings: Settings) -> None:
    job_id = await desk.enqueue(rest, delay=timedelta(hours=1), expires_in=timedelta(seconds=0.01))
    async with writing(desk.ledger.database) as connection:
        later = datetime.now(UTC) + timedelta(seconds=1)
        assert len(await connection.run_sync(record_expired, "test", later, 10)) == 1
    row = await desk.row(job_id)
    assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "Expired", 0)
