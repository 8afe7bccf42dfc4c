"""A desk to hand jobs in at: enqueues over the real lifecycle, and looks at what became of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, update

from jobs import Catalogue, Kind
from service.ledger.models import Enqueue
from service.ledger.reads import jobs as queries
from service.ledger.states import TERMINAL
from service.lifecycle.lifecycle import Lifecycle
from service.lifecycle.new_job import new_job
from service.options import Options
from service.queue import Entry
from service.resources import Resources, open_resources
from service.settings import Settings
from service.tables import jobs, workers
from service.worker.keeping.chores import sweep_of
from service.worker.keeping.redispatch import Redispatch
from service.worker.keeping.sweep import Sweep
from tests.support.running import catalogue_of, eventually
from tests.support.writing import writing


class Desk:
    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.ledger = resources.ledger
        self.lifecycle = Lifecycle(
            resources.ledger, resources.queue, resources.catalogue, writer="desk", hooks=resources.hooks
        )
        self.queue = resources.queue

    async def enqueue(self, kind: Kind[Any, Any], args: Mapping[str, Any] | None = None, **options: Any) -> str:
        return await self.lifecycle.enqueue_one(kind.name, args, Options(**options))

    async def record_only(self, kind: Kind[Any, Any], args: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Record a job without dispatching it, as if the API had died right after its commit."""
        job = new_job(kind, kind.args_model.model_validate(args or {}), Options(), datetime.now(UTC))
        job = replace(job, **fields)
        await self.ledger.enqueue(Enqueue(jobs=(job,), writer="test"))
        return job.id

    async def record_suspect(
        self, kind: Kind[Any, Any], args: Mapping[str, Any] | None = None, *, crashes: int = 2
    ) -> str:
        """Enqueue a job that has crashed before."""
        job_id = await self.record_only(kind, args)
        async with writing(self.ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(crashes=crashes))
        row = await self.row(job_id)
        await self.queue.put([Entry(job_id, kind.name, row["queue"], row["run_at"])])
        return job_id

    async def row(self, job_id: str) -> RowMapping:
        async with self.ledger.read() as connection:
            row = await queries.get_job(connection, job_id)
        assert row is not None, f"no job {job_id}"
        return row

    async def attempts(self, job_id: str) -> list[RowMapping]:
        async with self.ledger.read() as connection:
            return (await queries.get_attempts(connection, [job_id]))[job_id]

    async def outcomes(self, job_id: str) -> list[str | None]:
        return [attempt["outcome"] for attempt in await self.attempts(job_id)]

    async def ended(self, job_id: str) -> RowMapping:
        """Wait until a job is terminal; return its row."""
        return await self._in_state(job_id, *TERMINAL)

    async def running(self, job_id: str) -> RowMapping:
        return await self._in_state(job_id, "running")

    async def _in_state(self, job_id: str, *states: str) -> RowMapping:
        async def check() -> RowMapping | None:
            row = await self.row(job_id)
            return row if row["state"] in states else None

        row = await eventually(check)
        assert row is not None
        return row

    def sweep_as(self, worker_id: str = "w") -> Sweep:
        """Make the sweep of this process, on behalf of a worker."""
        return sweep_of(self.resources, self.lifecycle, lambda: worker_id)

    async def redispatch(self) -> int:
        """Dispatch a batch of what was forgotten, as the sweep does."""
        return await Redispatch(self.ledger, self.queue).dispatch()

    async def make_silent(self, worker_id: str, since: datetime) -> None:
        """Set a worker's last heartbeat back, as if it had been killed then."""
        async with writing(self.ledger.database) as connection:
            await connection.execute(update(workers).where(workers.c.id == worker_id).values(heartbeat_at=since))


@asynccontextmanager
async def open_desk(settings: Settings, *kinds: Kind[Any, Any]) -> AsyncIterator[Desk]:
    catalogue: Catalogue = catalogue_of(*kinds)
    async with open_resources(settings, catalogue) as resources:
        yield Desk(resources)
