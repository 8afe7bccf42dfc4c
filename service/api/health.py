"""Alive, ready, and what there is to measure."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Depends, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import BaseModel
from sqlalchemy import RowMapping

from service import metrics
from service.api.deps import ResourcesDep
from service.api.problems import responses
from service.api.query import known_query
from service.clocks import Clocks
from service.errors import LedgerUnavailable
from service.ledger import audit, migrate, queries
from service.ledger.deadline import in_time
from service.ledger.liveness import BLOCKED_AFTER_S
from service.queue import UNREACHABLE
from service.resources import Resources

router = APIRouter(tags=["health"], dependencies=[Depends(known_query)])

# Two of them, one after the other, still make an answer in time.
_CHECK_WITHIN_S = 2.0

_EVENTS = ("enqueued", "started", "succeeded", "failed", "cancelled", "retried", "crashed", "interrupted", "snoozed")


_METRICS = {
    200: {"description": "In Prometheus' text format", "content": {metrics.MEDIA_TYPE: {"schema": {"type": "string"}}}},
    **responses(422, 503),
}


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str]


@router.get("/healthz", operation_id="get_health", responses=responses(422))
async def healthz() -> dict[str, str]:
    """The process answers. Touches nothing else."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="get_readiness", responses={503: {"model": Readiness}, **responses(422)})
async def readyz(response: Response, resources: ResourcesDep) -> Readiness:
    """Whether jobs are accepted (503 if not), and by name what else is missing."""
    ledger, redis, workers = await asyncio.gather(
        _check_ledger(resources), _check_redis(resources), _check_workers(resources)
    )
    if ledger != "ok":
        response.status_code = 503
        response.headers.update(LedgerUnavailable.headers)
        return Readiness(status="unready", checks={"ledger": ledger, "redis": redis})
    checks = {"ledger": ledger, "redis": redis, "workers": workers}
    healthy = all(check == "ok" for check in checks.values())
    return Readiness(status="ready" if healthy else "degraded", checks=checks)


@router.get("/metrics", operation_id="get_metrics", response_class=Response, responses=_METRICS)
async def prometheus(resources: ResourcesDep) -> Response:
    """Counts for Prometheus. Those of jobs are the ledger's: the same from whichever process they are asked."""
    families = await in_time(_read_families(resources))
    return Response(metrics.render(families), media_type=metrics.MEDIA_TYPE)


async def _read_families(resources: Resources) -> list[Metric]:
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        totals = await queries.tally_totals(connection)
        live = await queries.count_live(connection)
        unaccounted = await audit.count_unaccounted(connection, now)
        sweeping = await audit.sweeping(connection)
        unknown_kinds = await queries.waiting_of_unknown_kinds(connection, now)
        workers = await queries.living_workers(connection, now)
    gauges: dict[str, tuple[str, float]] = {
        "postlude_jobs_running": ("Jobs running now", live["running"]),
        "postlude_jobs_waiting": ("Jobs scheduled, queued or waiting for another attempt", live["waiting"]),
        "postlude_unaccounted_jobs": ("Accepted jobs that nobody answers for; must be 0", unaccounted),
        "postlude_workers": ("Workers with a fresh heartbeat", len(workers)),
    }
    if sweeping.swept_at is not None:
        age = max(0.0, (now - sweeping.swept_at).total_seconds())
        gauges["postlude_sweep_age_seconds"] = ("Since the sweep last left nothing to mend", age)
    return [
        *(_counter(event, totals) for event in _EVENTS),
        _skew(await Clocks(resources.ledger.database, resources.queue.redis).measure()),
        *(GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()),
        _of_unknown_kinds(unknown_kinds),
        _refused(totals),
        _of_workers(workers, "loop_lag_seconds", "loop_lag_s", "How long the worker's event loop has been blocked"),
        _of_workers(workers, "hung_threads", "hung_threads", "Calls in threads that nobody waits for any more"),
    ]


def _counter(event: str, totals: Iterable[tuple[str, str, int]]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"postlude_jobs_{event}", f"Jobs {event}, by kind", labels=["kind"])
    for kind, counted, count in totals:
        if counted == event:
            family.add_metric([kind], count)
    return family


def _refused(totals: Iterable[tuple[str, str, int]]) -> CounterMetricFamily:
    text = "Late finishes of attempts that had been taken from their worker, by kind"
    family = CounterMetricFamily("postlude_finishes_refused", text, labels=["kind"])
    for kind, counted, count in totals:
        if counted == "refused":
            family.add_metric([kind], count)
    return family


def _of_workers(workers: Iterable[RowMapping], name: str, column: str, text: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"postlude_worker_{name}", text, labels=["worker"])
    for worker in workers:
        family.add_metric([worker["id"]], worker[column])
    return family


def _skew(measured: Mapping[str, timedelta]) -> GaugeMetricFamily:
    text = "How far that clock is ahead of this API's machine"
    family = GaugeMetricFamily("postlude_clock_skew_seconds", text, labels=["clock"])
    for clock, skew in measured.items():
        family.add_metric([clock], skew.total_seconds())
    return family


def _of_unknown_kinds(waiting: Iterable[tuple[str, int]]) -> GaugeMetricFamily:
    text = "Waiting jobs of kinds that no living worker knows"
    family = GaugeMetricFamily("postlude_jobs_of_unknown_kind", text, labels=["kind"])
    for kind, count in waiting:
        family.add_metric([kind], count)
    return family


async def _check_ledger(resources: Resources) -> str:
    database = resources.ledger.database
    try:
        if not await in_time(migrate.is_current(database), within_s=_CHECK_WITHIN_S):
            return "migrations are missing: run `postlude migrate`"
        await in_time(database.check(), within_s=_CHECK_WITHIN_S)
    except LedgerUnavailable as error:
        # What the driver says, without SQLAlchemy's statement and link around it.
        return f"away: {getattr(error.__cause__, 'orig', error.__cause__) or error}"
    return "ok"


async def _check_redis(resources: Resources) -> str:
    try:
        async with asyncio.timeout(_CHECK_WITHIN_S):
            await resources.queue.redis.ping()
    except UNREACHABLE as error:
        return f"away: {error or 'no answer'}; jobs are accepted, and dispatched when it is back"
    return "ok"


async def _check_workers(resources: Resources) -> str:
    try:
        living = await in_time(_read_living(resources), within_s=_CHECK_WITHIN_S)
    except LedgerUnavailable:
        return "unknown: they are in the ledger"
    if not living:
        return "no worker is alive; jobs are accepted, and run when one is"
    if all(worker["loop_lag_s"] >= BLOCKED_AFTER_S for worker in living):
        return "every worker's event loop is blocked: its log names the kinds that do it"
    return "ok"


async def _read_living(resources: Resources) -> Sequence[RowMapping]:
    async with resources.ledger.read() as connection:
        return await queries.living_workers(connection, await resources.ledger.database.now(connection))
