"""Figures for Prometheus, in its text format: what workers did, and the present levels."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import jobs
from service.api.figure_metrics import _bounded, _failing
from service.histogram import SIZE
from service.ledger.reads.failures import FailureGroup
from service.ledger.reads.figures import Ever
from service.ledger.records.series import record_levels
from service.settings import Settings
from service.worker.keeping.figures import Figures
from service.worker.performing.attempt import performer_of
from tests.service.worker.desk import open_desk
from tests.support.running import eventually, running_api, running_worker


async def test_figures_are_told_as_metrics(settings: Settings) -> None:
    settings = settings.model_copy(update={"jobs": ("tests.support.slo_kinds",)})
    catalogue = jobs.load(settings.jobs)
    async with running_api(settings) as api, running_worker(settings, catalogue) as worker:
        for kind in ("slo_kept", "slo_missed"):
            job_id = (await api.post("/v1/jobs", json={"kind": kind})).json()["id"]

            async def ended(job_id: str = job_id) -> bool:
                return (await api.get(f"/v1/jobs/{job_id}")).json()["state"] in ("succeeded", "failed")

            await eventually(ended)
        await performer_of(worker.ctx).durations.tell()
        async with open_desk(settings, *catalogue.values()) as desk:
            await Figures(desk.ledger).note_totals()
            levels = {"gap": 1.0, "queue_waiting:mail": 3.0, "queue_oldest_s:mail": 9.0, "queue_laneless_s:mail": 4.0}
            async with desk.ledger.read() as connection:
                now = await desk.ledger.database.now(connection)
            await desk.ledger.database.run(partial(record_levels, values=levels, at=now))
        text = (await api.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert value(samples, "postlude_run_seconds_count", kind="slo_kept") == 1
    assert value(samples, "postlude_run_seconds_bucket", kind="slo_kept", le="+Inf") == 1
    assert value(samples, "postlude_wait_seconds_bucket", kind="slo_missed", le="5000.0") == 1
    assert value(samples, "postlude_slo_target_ratio", kind="slo_kept") == 0.99
    assert value(samples, "postlude_slo_within_seconds", kind="slo_kept") == 60
    assert value(samples, "postlude_slo_budget_left_ratio", kind="slo_kept") == 1
    assert value(samples, "postlude_slo_missed_jobs", kind="slo_kept") == 0
    assert value(samples, "postlude_slo_missed_jobs", kind="slo_missed") == 1
    assert value(samples, "postlude_slo_burn_rate", kind="slo_missed", window="60m") == 2
    assert value(samples, "postlude_failing_attempts", kind="slo_missed") == 1
    assert value(samples, "postlude_jobs_orphaned") == 1
    assert value(samples, "postlude_queue_waiting", queue="mail") == 3
    assert value(samples, "postlude_queue_oldest_wait_seconds", queue="mail") == 9
    assert value(samples, "postlude_queue_oldest_laneless_wait_seconds", queue="mail") == 4


def value(samples: Iterable[Sample], name: str, **labels: str) -> float:
    [found] = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    return round(float(found), 6)


def test_kinds_beyond_the_first_hundred_are_told_as_one() -> None:
    one = Ever([1] * SIZE, 2.0)
    shown = _bounded({f"k{number:03}": one for number in range(150)} | {"other": one})
    assert len(shown) == 101
    assert shown["other"].sum_s == 51 * 2.0
    assert sum(map(sum, (ever.counts for ever in shown.values()))) == 151 * SIZE


def test_groups_that_grow_are_named_with_what_they_failed_lately() -> None:
    now = datetime.now(UTC)
    groups = [
        FailureGroup(name, "greet", "LookupError", "no such thing", None, None, now, now, 12, 0)
        for name in ("f1", "f2")
    ]
    _, growing = _failing(groups, {"f2": 11})
    assert [(sample.labels["fingerprint"], sample.value) for sample in growing.samples] == [("f2", 11)]
