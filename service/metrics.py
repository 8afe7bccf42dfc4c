"""The counters of this process; counts of jobs come from the ledger (see `service/api/health.py`)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

disable_created_metrics()  # type: ignore[no-untyped-call]  # the one function that the library left untyped
MEDIA_TYPE = CONTENT_TYPE_LATEST
_registry = CollectorRegistry()
_of_workers = CollectorRegistry()  # what an API never counts

dispatch_failures = Counter(
    "postlude_dispatch_failures",
    "Accepted jobs that could not be put on the queue at once; the sweep dispatches them",
    registry=_registry,
)

outbound_requests = Counter(
    "postlude_outbound_requests",
    "Requests that jobs sent from this process, by the answer's class or by why there was none",
    ["answer"],
    registry=_of_workers,
)

log_lines_dropped = Counter(
    "postlude_log_lines_dropped",
    "Lines that attempts logged and that were not kept, because there was no room for them or the ledger refused them",
    registry=_of_workers,
)


class Sum(Collector):
    """A counter for one thread: adding takes a tenth of what the library's own takes, which has a lock."""

    def __init__(self, name: str, text: str) -> None:
        self.value = 0
        self._name, self._text = name, text
        _of_workers.register(self)

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._text, value=self.value)


class Spread(Collector):
    """A histogram for one thread, as cheap."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text = name, text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        _registry.register(self)

    def note(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


claims = Sum("postlude_claims", "Calls of this worker for due jobs")
claimed_jobs = Sum("postlude_claimed_jobs", "Due jobs that these calls found")
commit_writes = Spread(
    "postlude_commit_writes",
    "How many writes of this process were committed together",
    (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
commit_seconds = Spread(
    "postlude_commit_seconds",
    "How long a commit of such a group took",
    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)


def of_this_worker() -> Iterator[Metric]:
    """Yield what this process, a worker, has counted."""
    yield from _registry.collect()
    yield from _of_workers.collect()


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def render(families: Iterable[Metric]) -> bytes:
    """Write `families`, and this process's own counters, in Prometheus' text format."""
    given = CollectorRegistry()
    given.register(_Given(list(families)))
    return generate_latest(given) + generate_latest(_registry)
