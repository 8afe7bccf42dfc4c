"""What the pages of workers show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Catalogue
from service.access.principal import Principal
from service.errors import WorkerNotFound
from service.ledger.ledger import Ledger
from service.ledger.reads.figures import Quantiles, levels, quantiles
from service.ledger.reads.worker_views import (
    RunningJob,
    WorkerState,
    WorkerView,
    find_worker,
    list_workers,
    running_jobs,
)

_LAST = timedelta(hours=1)
_STEP = timedelta(minutes=1)
_LATELY = timedelta(minutes=10)
_MOST_JOBS = 10
_MOST_OF_ONE = 100


@dataclass(frozen=True, slots=True)
class Running:
    """A running job. `timeout_s` is None if its kind is not known here."""

    job: RunningJob
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class WorkersPage:
    """`pick_up` is how long recent jobs waited after they were due. The series are of the last hour."""

    workers: Sequence[WorkerView]
    longest: Sequence[Running]
    pick_up: Quantiles | None
    running_series: Sequence[float | None]
    lag_series: Sequence[float | None]
    now: datetime

    @property
    def living(self) -> Sequence[WorkerView]:
        return [one for one in self.workers if one.state in (WorkerState.ALIVE, WorkerState.DRAINING)]

    def in_state(self, state: str) -> Sequence[WorkerView]:
        return [one for one in self.workers if one.state == state]

    @property
    def running(self) -> int:
        return sum(one.running for one in self.living)

    @property
    def slots(self) -> int:
        return sum(one.slots or 0 for one in self.living)

    @property
    def worst_lag_s(self) -> float | None:
        return max((one.loop_lag_s for one in self.living), default=None)

    @property
    def rescued(self) -> int:
        """How many jobs others took over within the last hour."""
        dead = (one for one in self.workers if one.is_dead and one.ended_at and one.ended_at >= self.now - _LAST)
        return sum(one.rescued for one in dead)

    @property
    def newest_version(self) -> str | None:
        """The version of the worker that started last, while not all living workers run the same one."""
        versions = {one.version for one in self.living}
        latest = max(self.living, key=lambda one: one.started_at, default=None)
        return latest.version if latest is not None and len(versions) > 1 else None


@dataclass(frozen=True, slots=True)
class WorkerPage:
    worker: WorkerView
    running: Sequence[Running]
    now: datetime


async def read_workers(ledger: Ledger, catalogue: Catalogue, principal: Principal) -> WorkersPage:
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        hour = await levels(connection, ("running", "loop_lag_s"), since=now - _LAST, until=now, step=_STEP)
        return WorkersPage(
            workers=await list_workers(connection, now),
            longest=await _running(connection, catalogue, principal, limit=_MOST_JOBS),
            pick_up=(await quantiles(connection, None, since=now - _LATELY)).get(("", "wait")),
            running_series=hour.values["running"],
            lag_series=hour.values["loop_lag_s"],
            now=now,
        )


async def read_worker(ledger: Ledger, catalogue: Catalogue, principal: Principal, worker_id: str) -> WorkerPage:
    """Read a worker and what it runs. Raises `WorkerNotFound`."""
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        worker = await find_worker(connection, worker_id, now)
        if worker is None:
            raise WorkerNotFound(f"There is no worker {worker_id!r}. It may have ended long ago.")
        running = await _running(connection, catalogue, principal, limit=_MOST_OF_ONE, worker=worker_id)
    return WorkerPage(worker, running, now)


async def _running(
    connection: AsyncConnection, catalogue: Catalogue, principal: Principal, *, limit: int, worker: str | None = None
) -> Sequence[Running]:
    """Return the running jobs that the principal may see."""
    found = await running_jobs(connection, worker=worker, limit=limit)
    return [Running(job, _timeout_of(job, catalogue)) for job in found if principal.may_touch(job.kind, job.queue)]


def _timeout_of(job: RunningJob, catalogue: Catalogue) -> float | None:
    kind = catalogue.get(job.kind)
    return job.timeout_s or (None if kind is None else kind.timeout.total_seconds())
