"""A lane as users see it: the limits that hold, what waits and runs in it, its breaker."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from service.lane_rules import BreakerState, Forced, Limits, Rule, is_pattern, limits_of, paused_by, rules_of
from service.ledger.reads.lanes import LaneCounts
from service.queue import LaneState


class BreakerView(NamedTuple):
    """How a breaker stands; a forced one stands as it was forced. `failures` are those in a row, None without Redis.

    `step` is how often it has opened in a row: each time but the first, a job had tried and failed.
    """

    state: BreakerState
    forced: Forced | None
    until: datetime | None
    failures: int | None
    reason: str | None
    step: int = 0


class Origin(NamedTuple):
    """Who says most of what limits a lane: a rule, its own or a pattern's `key`; a job that was sent; or the kind."""

    sort: Literal["rule", "job", "kind"]
    key: str = ""


class LaneView(NamedTuple):
    """A lane; or a pattern, of which nothing is counted. `origin` is None where nothing limits it."""

    key: str
    limits: Limits
    pause: Rule | None
    breaker: BreakerView
    waiting: int | None
    running: int | None
    origin: Origin | None = None
    is_shared: bool = False


def view_of(
    key: str, rules: Sequence[Rule], counts: LaneCounts | None, state: LaneState | None, now: datetime
) -> LaneView:
    """Put together what the ledger and, where it answers, Redis know of a lane."""
    own = next((rule for rule in rules if rule.key == key), Rule(key))
    if is_pattern(key):
        pause = own if own.is_paused(now) else None
        return LaneView(key, own.limits, pause, _breaker_of(own, None), None, None, Origin("rule", key))
    waiting, running = counts or LaneCounts(0, 0)
    # Redis knows what jobs sent and kinds gave; what rules say is in the ledger first.
    given = None if state is None else Limits(state.concurrency, state.rate, state.strict or None)
    limits = limits_of(rules, key, sent=given)
    origin, is_shared = _origin_of(rules, key, state), state is not None and state.is_shared
    pause, breaker = paused_by(rules, key, now), _breaker_of(own, state)
    return LaneView(key, limits, pause, breaker, waiting, running, origin, is_shared)


def _origin_of(rules: Sequence[Rule], key: str, state: LaneState | None) -> Origin | None:
    ruled = next((rule for rule in rules_of(rules, key) if rule.limits != Limits()), None)
    if ruled is not None:
        return Origin("rule", ruled.key)
    if state is None or not (state.concurrency or state.rate or state.strict):
        return None
    return Origin("kind" if state.is_shared else "job")


def _breaker_of(own: Rule, state: LaneState | None) -> BreakerView:
    """Tell of a breaker what Redis does, or the ledger: Redis has nothing of a lane in which nothing happens."""
    failures = None if state is None else state.failures
    stands: BreakerState
    if state is not None and state.breaker != "closed":
        stands, until, reason, step = state.breaker, state.breaker_until, state.breaker_reason, state.breaker_step
    else:
        stands, until, reason, step = own.breaker_state, own.breaker_until, own.breaker_reason, own.breaker_step
    if own.breaker_forced is not None:
        stands, until = own.breaker_forced, None
    return BreakerView(stands, own.breaker_forced, until if stands == "open" else None, failures, reason, step)


def said_of(view: LaneView) -> dict[str, Any]:
    """Return what a user may say of a lane, as it holds: without what is counted."""
    limits = view.limits._asdict()
    pause = {"paused": view.pause is not None, "paused_until": view.pause.paused_until if view.pause else None}
    return {**limits, **pause, "breaker": view.breaker.forced}


def target_of(key: str) -> tuple[str, str]:
    """Return what a lane's key names, and its name: a kind and a queue are paused as lanes are."""
    sort, _, name = key.partition(":")
    return (sort, name) if sort in ("kind", "queue") else ("lane", key)
