"""`/metrics`, for Prometheus."""

import asyncio
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

import structlog
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service import metrics
from service.api.figure_metrics import figure_families
from service.api.readiness import Checks
from service.api.state import api_state_of
from service.api.trouble_metrics import trouble_families
from service.clocks import Clocks
from service.errors import LedgerUnavailable
from service.feature import Gauge
from service.ledger.deadline import in_time
from service.ledger.reads import audit, counts
from service.ledger.reads.held_back import HeldBack
from service.ledger.reads.held_back import held_back as held_back_now
from service.ledger.reads.workers import living_workers
from service.ledger.records.ticked import TickOutcome
from service.queue import UNREACHABLE, Queue
from service.resources import Resources
from service.web.deps import ResourcesDep
from service.web.problems import responses
from service.web.query import known_query

router = APIRouter(tags=["health"], dependencies=[Depends(known_query)])
log = structlog.get_logger(__name__)

_EVENTS = ("enqueued", "started", "succeeded", "failed", "cancelled", "retried", "crashed", "interrupted", "snoozed")
MOST_LABELS = 500
_OTHER = "other"
# Well within Prometheus' own 10 s, even if both servers are silent.
_MEASURED_WITHIN_S = 3.0
_METRICS = {
    200: {"description": "In Prometheus' text format", "content": {metrics.MEDIA_TYPE: {"schema": {"type": "string"}}}},
    **responses(421, 422),
}


@router.get("/metrics", operation_id="get_metrics", response_class=Response, responses=_METRICS)
async def prometheus(request: Request, resources: ResourcesDep) -> Response:
    """Return counts for Prometheus. Jobs are counted in the ledger, so every process answers the same.

    While the ledger or Redis is away, its counts are missing.
    """
    checking = api_state_of(request).readiness
    ledger, redis, skew = await asyncio.gather(
        _of_the_ledger(resources), _of_redis(checking, resources.queue), _skew_of(resources)
    )
    return Response(metrics.render([*ledger, *redis, *skew]), media_type=metrics.MEDIA_TYPE)


async def _of_the_ledger(resources: Resources) -> list[Metric]:
    try:
        return [_up("ledger", True), *await in_time(_read_families(resources), within_s=_MEASURED_WITHIN_S)]
    except LedgerUnavailable as error:
        log.debug("ledger_not_measured", error=str(error.__cause__ or error))
        return [_up("ledger", False)]


async def _of_redis(checking: Checks, queue: Queue) -> list[Metric]:
    try:
        async with asyncio.timeout(_MEASURED_WITHIN_S):
            refusals = await checking.redis_probe.refusals()
            lanes = await queue.lanes.count()
    except UNREACHABLE as error:
        log.debug("redis_not_measured", error=str(error))
        return [_up("redis", False)]
    text = "Commands and keys that Redis refuses this API; /readyz names them; must be 0"
    refused = sum(len(refusal.what) for refusal in refusals)
    return [
        _up("redis", True),
        GaugeMetricFamily("postlude_redis_refusals", text, value=refused),
        GaugeMetricFamily("postlude_lanes_active", "Lanes in which any job waits on the queue or runs", value=lanes),
    ]


async def _skew_of(resources: Resources) -> list[Metric]:
    try:
        measuring = Clocks(resources.ledger.database, resources.queue.redis).measure()
        return [_skew(await in_time(measuring, within_s=_MEASURED_WITHIN_S))]
    except LedgerUnavailable:  # `in_time` raises it for reads that take too long
        return []


def _up(server: str, up: bool) -> Metric:
    return GaugeMetricFamily(f"postlude_{server}_up", f"Whether the {server} answers this API", value=float(up))


async def _read_families(resources: Resources) -> list[Metric]:
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        totals = _bounded(await counts.tally_totals(connection), resources.catalogue)
        live = await counts.count_live(connection)
        held = await counts.count_held(connection)
        unaccounted = await audit.count_unaccounted(connection, now)
        sweeping = await audit.sweeping(connection)
        unknown_kinds = await counts.waiting_of_unknown_kinds(connection, now)
        workers = await living_workers(connection, now)
        held_back = await held_back_now(connection, now)
        others = await figure_families(connection, resources.catalogue, now)
        others += await trouble_families(connection, workers, held_back.held_by_class, now)
        others += await _of_features(resources, connection, now)
    gauges: dict[str, tuple[str, float]] = {
        "postlude_jobs_running": ("Jobs running now", live["running"]),
        "postlude_jobs_prefetched": ("Jobs that a worker has started ahead of a free slot", held.prefetched),
        "postlude_jobs_waiting": ("Jobs scheduled, queued or waiting for another attempt", live["waiting"]),
        "postlude_unaccounted_jobs": ("Accepted jobs that nothing accounts for; must be 0", unaccounted),
        "postlude_workers": ("Workers with a fresh heartbeat", len(workers)),
        "postlude_lanes_paused": ("Lanes and patterns of lanes that a caller has paused", held_back.lanes_count),
        "postlude_lane_breakers_open": ("Lanes whose breaker is open, half open or forced", held_back.breakers_count),
    }
    if sweeping.swept_at is not None:
        age = max(0.0, (now - sweeping.swept_at).total_seconds())
        gauges["postlude_sweep_age_seconds"] = ("Time since the sweep last left nothing to mend", age)
    return [
        *(_counter(event, totals) for event in _EVENTS),
        *(GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()),
        _of_unknown_kinds(unknown_kinds),
        *_paused(held_back),
        _refused(totals),
        _ticks(totals),
        _of_workers(workers, "loop_lag_seconds", "loop_lag_s", "How long the worker's event loop has been blocked"),
        _of_workers(workers, "hung_threads", "hung_threads", "Calls in threads that nothing waits for any more"),
        *others,
    ]


async def _of_features(resources: Resources, connection: AsyncConnection, now: datetime) -> list[Metric]:
    reports = [
        await feature.report(resources.settings, connection, now)
        for feature in resources.features
        if feature.report is not None
    ]
    return [_of_a_feature(gauge) for report in reports for gauge in report.gauges]


def _paused(held_back: HeldBack) -> Iterable[Metric]:
    """Name kinds and queues, which are few; there are as many lanes as customers, so they are only counted."""
    for what in ("kind", "queue"):
        family = GaugeMetricFamily(f"postlude_{what}_paused", f"1 for each {what} that is paused", labels=[what])
        for rule in held_back.kinds_and_queues:
            sort, _, name = rule.key.partition(":")
            if sort == what:
                family.add_metric([name], 1)
        yield family


def _bounded(totals: Sequence[tuple[str, str, int]], kinds: Container[str]) -> Sequence[tuple[str, str, int]]:
    """Count labels as one if there are so many that a series for each would be too much for Prometheus."""
    labels = {name for name, _, _ in totals if "." in name and name not in kinds}
    if len(labels) <= MOST_LABELS:
        return totals
    summed: Counter[tuple[str, str]] = Counter()
    for name, event, count in totals:
        summed[_OTHER if name in labels else name, event] += count
    return [(name, event, count) for (name, event), count in summed.items()]


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


def _ticks(totals: Iterable[tuple[str, str, int]]) -> CounterMetricFamily:
    text = "Ticks of schedules, by what became of them"
    family = CounterMetricFamily("postlude_ticks", text, labels=["outcome"])
    for outcome in get_args(TickOutcome):
        family.add_metric([outcome], sum(count for _, counted, count in totals if counted == outcome))
    return family


def _of_workers(workers: Iterable[RowMapping], name: str, column: str, text: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"postlude_worker_{name}", text, labels=["worker"])
    for worker in workers:
        family.add_metric([worker["id"]], worker[column])
    return family


def _of_a_feature(gauge: Gauge) -> GaugeMetricFamily:
    family = GaugeMetricFamily(gauge.name, gauge.text, labels=[gauge.label])
    for name, value in gauge.values.items():
        family.add_metric([name], value)
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
