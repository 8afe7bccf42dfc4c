"""The figures for `/metrics`: histograms of waits and runs, levels, SLOs, failures; all bounded in labels."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Catalogue
from service.histogram import BOUNDS, SIZE, added
from service.insight.levels import GAP, OLDEST, laneless_age, queue_levels
from service.insight.slo import SloState, slo_states
from service.ledger.reads.failures import FailureGroup, groups
from service.ledger.reads.figures import Ever, durations_ever, levels_now
from service.ledger.reads.troubled import LATELY, growing_groups

# From a millisecond to three hours: more buckets for each kind would be too much for Prometheus.
_SHOWN = [BOUNDS.index(step * 10.0**power) for power in range(-3, 4) for step in (1, 5)]
_OTHER = "other"
_MOST_KINDS = 100
_MOST_GROUPS = 50
_HISTOGRAMS = {
    "wait": ("postlude_wait_seconds", "Time from when an attempt was due until it started, by kind"),
    "run": ("postlude_run_seconds", "How long attempts ran, by kind"),
}


async def figure_families(connection: AsyncConnection, catalogue: Catalogue, now: datetime) -> list[Metric]:
    """Read the figures that the ledger keeps."""
    took = await durations_ever(connection, now)
    failing = await groups(connection, since=now - LATELY, limit=_MOST_GROUPS)
    grown = {fingerprint: lately for fingerprint, lately, _ in await growing_groups(connection, now)} if failing else {}
    return [
        *(_histogram(measure, took) for measure in _HISTOGRAMS),
        *_levels(await levels_now(connection, now)),
        *_slos(await slo_states(connection, catalogue, now)),
        *_failing(failing, grown),
    ]


def _histogram(measure: str, took: Mapping[tuple[str, str], Ever]) -> Metric:
    family = HistogramMetricFamily(*_HISTOGRAMS[measure], labels=["kind"])
    for kind, (counts, sum_s) in _bounded({kind: one for (kind, of), one in took.items() if of == measure}).items():
        below = list(accumulate(counts))
        buckets = [(str(BOUNDS[place]), float(below[place])) for place in _SHOWN]
        family.add_metric([kind], [*buckets, ("+Inf", float(below[-1]))], sum_value=sum_s)
    return family


def _bounded(took: Mapping[str, Ever]) -> Mapping[str, Ever]:
    """Count kinds beyond the limit as one."""
    named = sorted(took)[:_MOST_KINDS]
    shown = {kind: took[kind] for kind in named}
    if rest := [one for kind, one in took.items() if kind not in shown]:
        counts, sum_s = [0] * SIZE, 0.0
        for one in [*rest, *([shown[_OTHER]] if _OTHER in shown else [])]:
            counts, sum_s = added(counts, one.counts), sum_s + one.sum_s
        shown[_OTHER] = Ever(counts, sum_s)
    return shown


def _levels(levels: Mapping[str, float]) -> Iterator[Metric]:
    """Return what the leading worker has counted within the last minute; nothing if no worker leads."""
    for name, level, text in (
        ("postlude_jobs_blocked", "blocked", "Jobs that wait for other jobs"),
        ("postlude_jobs_orphaned", GAP, "Started jobs that run in no living worker and have not been rescued yet"),
        ("postlude_oldest_wait_seconds", OLDEST, "How long the oldest waiting job has been due"),
    ):
        if level in levels:
            yield GaugeMetricFamily(name, text, value=levels[level])
    by_queue = queue_levels(levels)
    for name, what, text in (
        ("postlude_queue_waiting", "waiting", "Queued jobs, by queue"),
        ("postlude_queue_running", "running", "Running jobs, by queue"),
        ("postlude_queue_oldest_wait_seconds", OLDEST, "How long a queue's oldest waiting job has been due"),
    ):
        family = GaugeMetricFamily(name, text, labels=["queue"])
        for queue, values in by_queue.items():
            family.add_metric([queue], values.get(what, 0.0))
        yield family
    text = "How long a queue's oldest waiting job that no lane holds back has been due"
    laneless = GaugeMetricFamily("postlude_queue_oldest_laneless_wait_seconds", text, labels=["queue"])
    for queue in by_queue:
        laneless.add_metric([queue], levels.get(laneless_age(queue), 0.0))
    yield laneless


def _slos(slos: Mapping[str, SloState]) -> Iterator[Metric]:
    target = GaugeMetricFamily("postlude_slo_target_ratio", "What share should succeed in time", labels=["kind"])
    within = GaugeMetricFamily("postlude_slo_within_seconds", "How soon after they are due", labels=["kind"])
    left_text = "What is left of the 30-day error budget; below 0: more failed than it allows"
    left = GaugeMetricFamily("postlude_slo_budget_left_ratio", left_text, labels=["kind"])
    missed_text = "Jobs of the last 30 days that did not succeed in time"
    missed = GaugeMetricFamily("postlude_slo_missed_jobs", missed_text, labels=["kind"])
    burn_text = "How many times faster than allowed the error budget is used up, by window"
    burn = GaugeMetricFamily("postlude_slo_burn_rate", burn_text, labels=["kind", "window"])
    for kind, slo in slos.items():
        target.add_metric([kind], slo.target)
        within.add_metric([kind], slo.within.total_seconds())
        left.add_metric([kind], slo.budget_left)
        missed.add_metric([kind], slo.total - slo.good)
        for window, rate in slo.burn_rates.items():
            burn.add_metric([kind, f"{window.total_seconds() / 60:g}m"], rate)
    yield from (target, within, left, missed, burn)


def _failing(failing: Sequence[FailureGroup], grown: Mapping[str, int]) -> Iterator[Metric]:
    """Name the groups that fail most: a series for every group that ever was would be too many."""
    text = "Failures of attempts, and refused jobs, within the last ten minutes, of the 50 groups that failed most"
    labels = ["fingerprint", "kind", "error_type"]
    all_of_them = GaugeMetricFamily("postlude_failing_attempts", text, labels=labels)
    text = "The same, for those groups that fail at least three times as often as in the hour before"
    growing = GaugeMetricFamily("postlude_growing_failures", text, labels=labels)
    for group in failing:
        named = [group.fingerprint, group.kind, group.error_type]
        all_of_them.add_metric(named, group.failures)
        if group.fingerprint in grown:
            growing.add_metric(named, grown[group.fingerprint])
    yield from (all_of_them, growing)
