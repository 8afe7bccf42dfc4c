"""Every database call fails once, before or after its commit: call 1, call 2, ... until a run meets no fault."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

import jobs
from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.reads import jobs as queries
from service.ledger.states import TERMINAL
from service.settings import Settings
from tests.faults.form import WHOLE
from tests.faults.kinds import EFFECTS
from tests.faults.load import SEND_AGAIN
from tests.faults.verdict import wrong_with
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import eventually, running_api, running_worker

Enter = Any
# The short form tries every fifth call, from a random one on.
_STEP = 1 if WHOLE else 5


@dataclass
class FailingCall:
    """Fails one call of each database in this process but `spared`; with `after`, only the commit's answer is lost."""

    after: bool
    repeatable: bool
    """Whether the connection is said to have died, so that `transact` repeats the call by itself."""
    spared: Database | None = None
    left: int | None = None
    hits: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def around(self, real: Enter, database: Database, **how: bool) -> AsyncIterator[AsyncConnection]:
        hit = database is not self.spared and self._is_it(real.__name__)
        if hit and not self.after:
            raise self._lost()
        async with real(database, **how) as connection:
            yield connection
        if hit:
            raise self._lost()

    async def run(self, real: Enter, database: Database, write: Enter, **how: bool) -> Any:
        hit = database is not self.spared and self._is_it("run")
        if hit and not self.after:
            raise self._lost()
        written = await real(database, write, **how)
        if hit:
            raise self._lost()
        return written

    def arm(self, number: int) -> None:
        self.left = number
        self.hits.clear()

    def _is_it(self, name: str) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        if self.left:
            return False
        self.left = None
        self.hits.append(name)
        return True

    def _lost(self) -> LedgerUnavailable:
        lost = LedgerUnavailable("The fault suite lost this call.")
        cause = ConnectionResetError("lost")
        lost.__cause__ = DBAPIError(None, None, cause, connection_invalidated=True) if self.repeatable else cause
        return lost


@pytest.fixture(params=["before_its_commit", "after_its_commit", "after_its_commit_and_repeated"])
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FailingCall:
    failing = FailingCall(after="after" in request.param, repeatable="repeated" in request.param)
    connect, read, run = Database.connect, Database.read, Database.run
    monkeypatch.setattr(Database, "connect", lambda database, **how: failing.around(connect, database, **how))
    monkeypatch.setattr(Database, "read", lambda database, one: failing.run(read, database, one))
    monkeypatch.setattr(Database, "run", lambda database, write, **how: failing.run(run, database, write, **how))
    return failing


@pytest.fixture
def quiet(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(EFFECTS, str(tmp_path / "effects"))
    return settings.model_copy(update={"jobs": ("tests.faults.kinds",), "log_level": "ERROR"})


async def _insist(client: httpx.AsyncClient, path: str, fine: Sequence[int], **request: Any) -> httpx.Response:
    """Send a request until it gets the right answer, like a client that respects `Retry-After`."""
    while True:
        answer = await client.post(path, **request)
        if answer.status_code in fine:
            return answer
        assert answer.status_code in SEND_AGAIN, answer.text
        await asyncio.sleep(0.02)


async def _post(client: httpx.AsyncClient, key: str, kind: str, **options: Any) -> str:
    body = {"kind": kind, "args": {}} | options
    answer = await _insist(client, "/v1/jobs", (202,), json=body, headers={"Idempotency-Key": key})
    job_id: str = answer.json()["id"]
    return job_id


async def _journey(client: httpx.AsyncClient, key: str) -> list[str]:
    """Enqueue, fail once and retry, cancel and replay: every write that a job can meet. Return the ids."""
    work, flaky, late = await asyncio.gather(
        _post(client, f"{key}-work", "fault_work"),
        _post(client, f"{key}-flaky", "fault_flaky"),
        _post(client, f"{key}-late", "fault_work", delay=3600),
    )
    # 409: an earlier request did it, and only its answer was lost.
    await _insist(client, f"/v1/jobs/{late}/cancel", (200, 409))
    await _insist(client, f"/v1/jobs/{late}/replay", (200, 409))
    return [work, flaky, late]


async def _wrong_after_all_ended(desk: Desk, ids: Sequence[str]) -> list[str]:
    async def ended() -> bool:
        async with desk.ledger.read() as connection:
            states = await queries.states_of(connection, ids)
        return len(states) == len(ids) and all(state in TERMINAL for state, _ in states.values())

    with contextlib.suppress(TimeoutError):
        await eventually(ended, 60)
    return [
        f"{job_id}: {what}"
        for job_id in ids
        for what in wrong_with(await desk.row(job_id), await desk.attempts(job_id))
    ]


@pytest.mark.short("postgres", "after_its_commit]")
async def test_any_failing_call_on_a_jobs_way_loses_nothing(
    quiet: Settings, failing: FailingCall, chance: random.Random
) -> None:
    catalogue = jobs.load(quiet.jobs)
    async with open_desk(quiet) as desk, running_api(quiet) as client, running_worker(quiet, catalogue):
        failing.spared = desk.ledger.database
        for number in itertools.count(chance.randint(1, _STEP), _STEP):
            failing.arm(number)
            ids = await _journey(client, f"n{number}")
            wrong = await _wrong_after_all_ended(desk, ids)
            assert not wrong, f"call {number}, {failing.hits}: {wrong}"
            if not failing.hits:
                break
        failing.left = None
    assert number > 5


async def test_any_failing_call_while_a_worker_starts_and_stops_loses_nothing(
    quiet: Settings, failing: FailingCall, chance: random.Random
) -> None:
    catalogue = jobs.load(quiet.jobs)
    async with open_desk(quiet) as desk, running_api(quiet) as client:
        failing.spared = desk.ledger.database
        for number in itertools.count(chance.randint(1, _STEP), _STEP):
            failing.arm(number)
            async with running_worker(quiet, catalogue):
                ids = await _journey(client, f"n{number}")
                stopped_early = number % 2
                wrong = [] if stopped_early else await _wrong_after_all_ended(desk, ids)
            hits = list(failing.hits)
            failing.left = None
            if stopped_early:
                async with running_worker(quiet, catalogue):
                    wrong = await _wrong_after_all_ended(desk, ids)
            assert not wrong, f"call {number}, {hits}: {wrong}"
            if not hits:
                break
    assert number > 5
