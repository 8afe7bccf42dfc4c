"""Processes whose own clocks are an hour off: nothing expires, starts or waits because of that."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from service.ledger.reads import audit
from tests.faults.system import API, WORKER, System
from tests.support.running import eventually

FAKETIME = shutil.which("faketime")


@pytest.mark.short("sqlite")
@pytest.mark.skipif(FAKETIME is None, reason="there is no faketime on this machine")
@pytest.mark.parametrize("off_by", ["+1h", "-1h"])
async def test_api_and_leader_an_hour_off_decide_by_the_servers_time(system: System, off_by: str) -> None:
    assert FAKETIME is not None
    skewed = (FAKETIME, "-f", off_by)
    system.api.argv = (*skewed, *API)
    leader = system.process((*skewed, *WORKER), "leader")
    system.workers.append(leader)
    system.api.start()
    leader.start()
    await system.ready()
    await system.registered(leader)

    async def post(**fields: object) -> str:
        body = {"kind": "fault_once", "args": {}, **fields}
        answer = await system.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def state(job_id: str) -> str:
        return str((await system.client.get(f"/v1/jobs/{job_id}")).json()["state"])

    began = datetime.now(UTC)
    soon, later = await post(delay=1), await post(delay=1200, expires_in=1800)

    async def has_run() -> bool:
        return await state(soon) == "succeeded"

    await eventually(has_run)

    async def swept_since() -> bool:
        async with system.ledger() as ledger, ledger.read() as connection:
            swept_at = (await audit.sweeping(connection)).swept_at
        return swept_at is not None and abs(swept_at - began) < timedelta(minutes=5)

    await eventually(swept_since)
    assert await state(later) == "scheduled"
    run_at = datetime.fromisoformat((await system.client.get(f"/v1/jobs/{later}")).json()["run_at"])
    assert abs(run_at - began - timedelta(seconds=1200)) < timedelta(seconds=60)
