"""The counters of this process; counts of jobs come from the ledger (see `service/api/health.py`)."""

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, disable_created_metrics, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # the one function that the library left untyped
MEDIA_TYPE = CONTENT_TYPE_LATEST
_registry = CollectorRegistry()

dispatch_failures = Counter(
    "postlude_dispatch_failures",
    "Accepted jobs that could not be put on the queue at once; the sweep dispatches them",
    registry=_registry,
)


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
