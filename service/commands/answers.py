"""The API's answers, as far as the commands read them: a server that answers differently is not Postlude."""

from typing import Any

from pydantic import BaseModel


class _Error(BaseModel):
    type: str | None = None
    message: str | None = None
    traceback: str | None = None


class _Attempt(BaseModel):
    error: _Error | None = None


class Job(BaseModel):
    id: str
    kind: str
    state: str
    attempt: int
    tags: list[str] = []
    error: _Error | None = None
    progress: dict[str, Any] | None = None
    attempts: list[_Attempt] = []


class Page(BaseModel):
    jobs: list[Job]
    next_cursor: str | None


class Replayed(BaseModel):
    matched: int
    replayed: int
    skipped: dict[str, int]
    next_cursor: str | None = None


class Event(BaseModel):
    state: str | None = None
    error: _Error | None = None
    progress: dict[str, Any] | None = None


class _Rate(BaseModel):
    limit: int
    per: float


class _Breaker(BaseModel):
    state: str
    forced: str | None = None
    until: str | None = None
    failures: int | None = None
    reason: str | None = None


class Pausable(BaseModel):
    paused: bool
    paused_until: str | None


class Lane(Pausable):
    key: str
    concurrency: int | None
    rate: _Rate | None
    order: str | None
    breaker: _Breaker
    waiting: int | None
    running: int | None


class LanePage(BaseModel):
    lanes: list[Lane]
    next_cursor: str | None


class Operation(BaseModel):
    id: str
    name: str | None
    action: str
    state: str
    matched: int
    done: int
    failed: int
    skipped: dict[str, int]
    dry_run: bool
    filter: dict[str, Any]
    created_at: str


class OperationPage(BaseModel):
    operations: list[Operation]
    next_cursor: str | None


class _FlowJob(BaseModel):
    name: str | None
    id: str
    kind: str
    state: str
    after: list[str]
    error: _Error | None = None


class _Callback(BaseModel):
    event: str
    kind: str
    jobs: list[str]


class _Flow(BaseModel):
    id: str
    name: str | None
    state: str
    created_at: str
    finished_at: str | None
    counts: dict[str, int]


class Flow(_Flow):
    replayed_at: str | None = None
    callbacks: list[_Callback]
    jobs: list[_FlowJob]
    next_cursor: str | None


class FlowPage(BaseModel):
    flows: list[_Flow]
    next_cursor: str | None


class _Tick(BaseModel):
    due_at: str
    outcome: str
    reason: str | None
    job_id: str | None


class TickPage(BaseModel):
    ticks: list[_Tick]
    next_cursor: str | None


class Schedule(BaseModel):
    name: str
    kind: str
    cron: str
    time_zone: str
    catch_up: str
    overlap: str
    jitter: float
    start: str | None
    end: str | None
    options: dict[str, Any]
    paused: bool
    paused_reason: str | None = None
    next: str | None
    last: _Tick | None
    error: str | None


class SchedulePage(BaseModel):
    schedules: list[Schedule]
    next_cursor: str | None


class NextTicks(BaseModel):
    next: list[str]


class _RunningJob(BaseModel):
    id: str
    label: str
    started_at: str


class Worker(BaseModel):
    id: str
    state: str
    hostname: str
    pid: int
    version: str | None
    queues: list[str]
    slots: int | None
    running: int
    loop_lag: float
    hung_threads: int
    memory_bytes: int | None
    started_at: str
    heartbeat_at: str
    drain_at: str | None
    ended_at: str | None
    rescued: int
    jobs: list[_RunningJob] = []


class Workers(BaseModel):
    workers: list[Worker]


class _Named(BaseModel):
    name: str


class Kinds(BaseModel):
    kinds: list[_Named]
    labels: list[_Named] = []


class _Mistake(BaseModel):
    loc: list[str | int] = []
    msg: str | None = None


class Problem(BaseModel):
    title: str | None = None
    detail: str | None = None
    errors: list[_Mistake] | None = None


def checked(shape: type[BaseModel], told: Any) -> dict[str, Any]:
    """Return an answer unchanged. Raises `ValueError` unless it has the shape."""
    shape.model_validate(told)
    return dict(told)
