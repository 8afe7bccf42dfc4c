"""Service level objectives: how many of a kind's jobs succeed in time, and how much of the error budget is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Catalogue
from jobs.kit.slo import Slo
from service.ledger.reads.figures import counts_since
from service.ledger.records.failed import minute_of

PERIOD = timedelta(days=30)
SOON, HOUR, HOURS = timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6)
_EVENTS = ("succeeded", "failed", "late")


@dataclass(frozen=True, slots=True)
class SloState:
    """How a kind keeps its SLO: `target` (0.99) of its jobs should succeed `within` some time of when they were due.

    `good` of the `total` that ended within the last 30 days did. `budget_left` is the share of the failures
    allowed that is left: 1 before any, below 0 once there were more. `burn_rates` say, by window (5 min, 1 h, 6 h), how
    many times faster than allowed the budget is used up; 1 uses up all of it in 30 days.
    """

    kind: str
    target: float
    within: timedelta
    good: int
    total: int
    budget_left: float
    burn_rates: Mapping[timedelta, float]


async def slo_states(connection: AsyncConnection, catalogue: Catalogue, now: datetime) -> Mapping[str, SloState]:
    """Return how each kind that has an SLO keeps it."""
    slos = {kind.name: kind.slo for kind in catalogue.values() if kind.slo is not None}
    if not slos:
        return {}
    counted = {
        window: await counts_since(connection, list(slos), _EVENTS, minute_of(now - window))
        for window in (SOON, HOUR, HOURS, PERIOD)
    }
    return {
        kind: state_of(kind, slo, {window: ended(counts, kind) for window, counts in counted.items()})
        for kind, slo in slos.items()
    }


def ended(counts: Mapping[tuple[str, str], int], kind: str) -> tuple[int, int]:
    """Return (good, total) of the jobs of a kind that ended."""
    succeeded, failed, late = (counts[kind, event] for event in _EVENTS)
    return succeeded - late, succeeded + failed


def state_of(kind: str, slo: Slo, counted: Mapping[timedelta, tuple[int, int]]) -> SloState:
    """Judge how an SLO is kept by (good, total) in each window."""
    allowed = 1 - slo.target
    bad_shares = {window: 1 - good / total if total else 0.0 for window, (good, total) in counted.items()}
    good, total = counted[PERIOD]
    burn_rates = {window: share / allowed for window, share in bad_shares.items() if window != PERIOD}
    return SloState(kind, slo.target, slo.within, good, total, 1 - bad_shares[PERIOD] / allowed, burn_rates)
