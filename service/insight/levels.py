"""Levels: what is measured every ten seconds, and under which names it is kept."""

from collections.abc import Mapping
from datetime import datetime

from service.ledger.reads.figures import Quantiles
from service.ledger.reads.levels import QueueLevel, Standing

# Jobs by state (`waiting` are the queued ones), and how many can run at once.
STATES = ("waiting", "scheduled", "retrying", "blocked", "running", "slots")
# How long the oldest waiting job has been due.
OLDEST = "oldest_s"
# Jobs that nothing accounts for.
UNACCOUNTED = "unaccounted"
# Attempts that were started, have not finished, and run in no living worker.
GAP = "gap"
# Of the worker whose event loop has been blocked the longest.
LOOP_LAG = "loop_lag_s"
# How long attempts that began within the last ten minutes had been due: the median and the 99th percentile.
PICK_UP, PICK_UP_99 = "pick_up_p50_s", "pick_up_p99_s"

_MOST_QUEUES, _MOST_UNKNOWN = 40, 20
_UNKNOWN_KIND = "unknown_kind:"


def of_queue(what: str, queue: str) -> str:
    """Name a level of one queue: `waiting`, `oldest_s` or `running`. Only the 40 largest queues have any."""
    return f"queue_{what}:{queue}"


def laneless_age(queue: str) -> str:
    """Name the level that says how long a queue's oldest job that no lane holds back has waited."""
    return f"queue_laneless_s:{queue}"


def unknown_kind(kind: str) -> str:
    """Name the level of jobs that wait although no living worker knows their kind."""
    return f"{_UNKNOWN_KIND}{kind}"


def queue_levels(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the levels of queues, by queue and by what they measure."""
    found: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        for what in ("waiting", "running", OLDEST):
            if name.startswith(prefix := of_queue(what, "")):
                found.setdefault(name.removeprefix(prefix), {})[what] = value
    return found


def unknown_kinds(values: Mapping[str, float]) -> dict[str, int]:
    """Return the jobs that no living worker knows, by kind."""
    return {name.removeprefix(_UNKNOWN_KIND): int(of) for name, of in values.items() if name.startswith(_UNKNOWN_KIND)}


def level_values(stands: Standing, now: datetime, *, unaccounted: int, waits: Quantiles) -> dict[str, float]:
    """Return all levels by their names."""
    values = {state: float(getattr(stands, state)) for state in STATES}
    values |= {GAP: stands.orphaned, UNACCOUNTED: unaccounted, LOOP_LAG: stands.loop_lag_s}
    values[OLDEST] = _age(stands.oldest_at, now)
    if waits.p50 is not None and waits.p99 is not None:
        values |= {PICK_UP: waits.p50, PICK_UP_99: waits.p99}
    fullest = sorted(stands.queues.items(), key=lambda one: (-one[1].waiting - one[1].running, one[0]))
    for name, queue in fullest[:_MOST_QUEUES]:
        values |= {of_queue(what, name): value for what, value in _of_one(queue, now).items()}
        values[laneless_age(name)] = _age(queue.oldest_laneless_at, now)
    most = sorted(stands.unknown_kinds.items(), key=lambda one: (-one[1], one[0]))[:_MOST_UNKNOWN]
    return values | {unknown_kind(kind): float(count) for kind, count in most}


def _of_one(queue: QueueLevel, now: datetime) -> dict[str, float]:
    return {"waiting": queue.waiting, "running": queue.running, OLDEST: _age(queue.oldest_at, now)}


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
