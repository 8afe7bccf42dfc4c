"""A lane as users see it: the limits that hold, what waits and runs in it, its breaker."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from service.lane_rules import BreakerState, Forced, Limits, Rule, is_pattern, limits_of, paused_by
from service.ledger.reads.lanes import LaneCounts
from service.queue import LaneState


class BreakerView(NamedTuple):
    """How a breaker stands; a forced one stands as it was forced. `failures` are those in a row, None without Redis."""

    state: BreakerState
    forced: Forced | None
    until: datetime | None
    failures: int | None
    reason: str | None


class LaneView(NamedTuple):
    """A lane; or a pattern, of which nothing is counted."""

    key: str
    limits: Limits
    pause: Rule | None
    breaker: BreakerView
    waiting: int | None
    running: int | None


def view_of(
    key: str, rules: Sequence[Rule], counts: LaneCounts | None, state: LaneState | None, now: datetime
) -> LaneView:
    """Put together what the ledger and, where it answers, Redis know of a lane."""
    own = next((rule for rule in rules if rule.key == key), Rule(key))
    if is_pattern(key):
        pause = own if own.is_paused(now) else None
        return LaneView(key, own.limits, pause, _breaker_of(own, None), None, None)
    waiting, running = counts or LaneCounts(0, 0)
    # Redis knows what jobs sent and kinds gave; what rules say is in the ledger first.
    given = None if state is None else Limits(state.concurrency, state.rate, state.strict or None)
    limits = limits_of(rules, key, sent=given)
    return LaneView(key, limits, paused_by(rules, key, now), _breaker_of(own, state), waiting, running)


def _breaker_of(own: Rule, state: LaneState | None) -> BreakerView:
    """Tell of a breaker what Redis does, or the ledger: Redis has nothing of a lane in which nothing happens."""
    failures = None if state is None else state.failures
    stands: BreakerState
    if state is not None and state.breaker != "closed":
        stands, until, reason = state.breaker, state.breaker_until, state.breaker_reason
    else:
        stands, until, reason = own.breaker_state, own.breaker_until, own.breaker_reason
    if own.breaker_forced is not None:
        stands, until = own.breaker_forced, None
    return BreakerView(stands, own.breaker_forced, until if stands == "open" else None, failures, reason)
