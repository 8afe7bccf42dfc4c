"""Workers over HTTP: which are alive, what each runs, and draining or forgetting one."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from service.access.principal import Scope
from service.errors import WorkerNotFound
from service.ledger.deadline import in_time
from service.ledger.reads.worker_views import RunningJob, WorkerState, WorkerView, list_workers, running_jobs
from service.lifecycle import workers
from service.resources import Resources
from service.web.deps import LanesDep, OperatorDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.moments import ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/workers", tags=["workers"])

_LONGEST_ID = 64
_MOST_JOBS = 1_000
_ACTION_ERRORS = responses(401, 403, 404, 409, 421, 422, 503, 507)


class WorkerOut(BaseModel):
    """A worker, as of its latest heartbeat."""

    id: str
    state: WorkerState = Field(
        description="`draining`: takes no new jobs. `silent`: not heard of for 20 s; its jobs are or will be rescued."
    )
    hostname: str
    pid: int
    version: str | None
    queues: list[str]
    kinds: list[str] = Field(description="the kinds that it knows")
    slots: int | None = Field(description="how many jobs it runs at once")
    running: int
    oldest_running_at: ShownMoment | None = Field(description="when the longest-running of them started")
    loop_lag: float = Field(description="how many seconds its event loop has been blocked")
    hung_threads: int = Field(description="calls in threads that go on although nothing waits for them any more")
    memory_bytes: int | None = Field(description="resident; null: its system does not say")
    started_at: ShownMoment
    heartbeat_at: ShownMoment
    drain_at: ShownMoment | None = Field(description="when it stopped taking new jobs")
    ended_at: ShownMoment | None
    is_dead: bool = Field(description="Whether it was declared dead. Then it may be forgotten.")
    rescued: int = Field(description="how many of its jobs others took over when it died")

    @classmethod
    def of(cls, view: WorkerView) -> "WorkerOut":
        shown = {name: getattr(view, name) for name in WorkerView.__slots__ if name != "loop_lag_s"}
        return cls(**shown, loop_lag=view.loop_lag_s)


class WorkerList(BaseModel):
    workers: list[WorkerOut] = Field(
        description="Silent, draining and living workers, and those that ended within the hour. At most 500."
    )


class RunningJobOut(BaseModel):
    id: str
    kind: str
    label: str
    attempt: int
    started_at: ShownMoment
    progress_done: int | None
    progress_total: int | None


class WorkerDetail(WorkerOut):
    jobs: list[RunningJobOut] = Field(description="What it runs, longest-running first; at most 1,000.")


async def _worker_id(worker_id: Text) -> str:
    if len(worker_id) > _LONGEST_ID:
        raise WorkerNotFound(f"There is no worker with an id of {len(worker_id)} characters.")
    return worker_id


WorkerIdDep = Annotated[str, Depends(_worker_id)]


@router.get(
    "", dependencies=guards(Scope.READ, narrowed=True), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)}
)
async def get_workers(resources: ResourcesDep) -> WorkerList:
    """List the workers: the living, and those that ended recently."""
    return WorkerList(workers=[WorkerOut.of(view) for view in await in_time(_list(resources))])


@router.get(
    "/{worker_id}",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_worker(worker_id: WorkerIdDep, resources: ResourcesDep) -> WorkerDetail:
    """Look up a worker, and what it runs."""
    view = await in_time(workers.read_worker(resources.ledger, worker_id))
    running = await in_time(_running(resources, worker_id))
    return WorkerDetail(**WorkerOut.of(view).model_dump(), jobs=[RunningJobOut(**_shown(job)) for job in running])


@router.post("/{worker_id}/drain", dependencies=guards(Scope.OPERATE), responses=_ACTION_ERRORS)
async def drain_worker(
    worker_id: WorkerIdDep, resources: ResourcesDep, lanes: LanesDep, operator: OperatorDep
) -> WorkerOut:
    """Make a worker take no new jobs. Its running jobs go on to the end; then it stays idle until it is stopped."""
    async with operator.action("drain", "worker", worker_id) as entry:
        entry.after = shown = WorkerOut.of(await in_time(workers.drain(resources.ledger, worker_id), writes=True))
    lanes.outlook.forget()
    return shown


@router.post("/{worker_id}/forget", dependencies=guards(Scope.OPERATE), responses=_ACTION_ERRORS)
async def forget_worker(worker_id: WorkerIdDep, resources: ResourcesDep, operator: OperatorDep) -> WorkerOut:
    """Take a dead worker off the list. Its jobs were rescued, and its attempts still name it."""
    async with operator.action("forget", "worker", worker_id):
        return WorkerOut.of(await in_time(workers.forget(resources.ledger, worker_id), writes=True))


async def _list(resources: Resources) -> list[WorkerView]:
    async with resources.ledger.read() as connection:
        return await list_workers(connection, await resources.ledger.database.now(connection))


async def _running(resources: Resources, worker_id: str) -> list[RunningJob]:
    async with resources.ledger.read() as connection:
        return list(await running_jobs(connection, worker=worker_id, limit=_MOST_JOBS))


def _shown(job: RunningJob) -> dict[str, object]:
    return {name: value for name, value in job._asdict().items() if name in RunningJobOut.model_fields}
