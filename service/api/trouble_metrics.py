"""The facts behind troubles, for `/metrics`: lost workers, versions, held lanes, ticks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.troubled import lost_workers, odd_ticks
from service.lifecycle.schedules.due import PAUSED

_HOUR = timedelta(hours=1)


async def trouble_families(
    connection: AsyncConnection, workers: Sequence[RowMapping], held_by_class: Mapping[str, int], now: datetime
) -> list[Metric]:
    lost = len(await lost_workers(connection, now))
    lost_text = "Workers that are silent, or were declared dead within the last hour; at most 20"
    draining = sum(worker["drain_at"] is not None for worker in workers)
    draining_text = "Living workers that take no new jobs"
    return [
        GaugeMetricFamily("postlude_workers_lost", lost_text, value=lost),
        GaugeMetricFamily("postlude_workers_draining", draining_text, value=draining),
        _versions(workers),
        _held(held_by_class),
        _not_fired(Counter(tick.outcome for tick in await odd_ticks(connection, now - _HOUR, now, wanted=PAUSED))),
    ]


def _versions(workers: Iterable[RowMapping]) -> Metric:
    family = GaugeMetricFamily(
        "postlude_worker_info", "1 for each living worker, with its version", labels=["worker", "version"]
    )
    for worker in workers:
        family.add_metric([worker["id"], worker["version"] or ""], 1)
    return family


def _held(held_by_class: Mapping[str, int]) -> Metric:
    text = "Lanes that a breaker holds, by the type of their destination: host, smtp, app or other"
    family = GaugeMetricFamily("postlude_lanes_held", text, labels=["class"])
    for of, count in held_by_class.items():
        family.add_metric([of], count)
    return family


def _not_fired(schedules: Mapping[str, int]) -> Metric:
    text = "Schedules that are not paused and did not fire a tick within the last hour, by what became of the latest"
    family = GaugeMetricFamily("postlude_schedules_not_fired", text, labels=["outcome"])
    for outcome in ("skipped", "missed"):
        family.add_metric([outcome], schedules.get(outcome, 0))
    return family
