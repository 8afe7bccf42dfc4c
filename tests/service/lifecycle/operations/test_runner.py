"""An operation whose worker is killed at any point of a page goes on: no member is dealt with twice, none left out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

import jobs
from service.ledger.ledger import Ledger
from service.lifecycle.operations.operations import Operations
from service.settings import Settings
from service.tables import attempts
from service.tables import jobs as job_rows
from tests.faults.system import Process
from tests.support.many_jobs import make_jobs
from tests.support.mortal_operator import FAILPOINT, FAILPOINTS, SMALL_PAGE
from tests.support.operating import ended, start
from tests.support.operation_kinds import MEMBERS
from tests.support.processes import ROOT, environment
from tests.support.rescuing import let_it_rescue, let_the_rescue_be_now
from tests.support.running import eventually, running_api, running_worker

_KINDS = "tests.support.operation_kinds"
MORTAL = (sys.executable, "-m", "tests.support.mortal_operator")
# The worker dies with its second page.
_MANY = SMALL_PAGE + 70


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (_KINDS,), "log_level": "ERROR"})


async def killed_at(failpoint: Callable[[], None], settings: Settings, folder: Path) -> None:
    """Run a worker that works the queue of operations alone, until it has killed itself."""
    surroundings = environment() | settings.variables() | {FAILPOINT: failpoint.__name__, "PYTHONPATH": str(ROOT)}
    worker = Process(MORTAL, surroundings, folder / "worker.log")
    worker.start()
    assert await worker.ended(60) == -9, worker.log.read_text()


@pytest.mark.usefixtures("swept_at_once")
@pytest.mark.parametrize("failpoint", FAILPOINTS, ids=lambda one: one.__name__)
@pytest.mark.short("sqlite")
async def test_operation_whose_worker_is_killed_deals_with_each_member_once(
    settings: Settings,
    ledger: Ledger,
    tmp_path: Path,
    failpoint: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Operations.runner, "__kwdefaults__", {"page": SMALL_PAGE})
    members = await make_jobs(ledger, _MANY, kind="always_fails", queue=MEMBERS, args="{}", max_attempts=1)
    async with running_api(settings) as api:
        operation = await start(api, "replay", {"kind": "always_fails"})
        await killed_at(failpoint, settings, tmp_path)
        await let_the_rescue_be_now(ledger)
        both = settings.model_copy(update={"queues": ("default", MEMBERS)})
        async with running_worker(both, jobs.load([_KINDS])):
            await let_it_rescue(ledger)
            found = await ended(api, operation)
            assert (found["state"], found["matched"], found["done"], found["failed"]) == ("succeeded", _MANY, _MANY, 0)

            async def all_have_run() -> bool:
                return (await failed_attempts_of(ledger, members)).get(("failed", 2)) == _MANY

            await eventually(all_have_run, timeout_s=90)
            # Also where the operation was through when its worker died.
            job = (await api.get(f"/v1/jobs/{operation['job_id']}", params={"wait": 20})).json()
        assert [one["outcome"] for one in job["attempts"]] == ["crashed", "succeeded"]


async def failed_attempts_of(ledger: Ledger, ids: list[str]) -> dict[tuple[str, int], int]:
    """Count jobs by state and number of failed attempts: one that is handed back on a slow machine costs nothing."""
    failed = attempts.c.outcome == "failed"
    async with ledger.read() as connection:
        rows = await connection.execute(
            select(job_rows.c.id, job_rows.c.state, func.count())
            .join_from(job_rows, attempts, (attempts.c.job_id == job_rows.c.id) & failed)
            .where(job_rows.c.kind == "always_fails")
            .group_by(job_rows.c.id, job_rows.c.state)
        )
    counted: dict[tuple[str, int], int] = {}
    for job_id, state, number in rows:
        assert job_id in ids
        counted[state, number] = counted.get((state, number), 0) + 1
    return counted
