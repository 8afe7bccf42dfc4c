"""A lane as users see it: the limits that apply, what waits and runs in it, its breaker."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from service.lane_rules import BreakerState, Forced, Limits, Rule, is_pattern, limits_of, paused_by, rules_of
from service.ledger.reads.lanes import LaneCounts
from service.queue import LaneState


class BreakerView(NamedTuple):
    """The state of a breaker, which may be forced. `failures` counts them in a row; None without Redis.

    `step` is how often it has opened in a row: each time but the first because a probe had failed.
    """

    state: BreakerState
    forced: Forced | None
    until: datetime | None
    failures: int | None
    reason: str | None
    step: int = 0


class Origin(NamedTuple):
    """Where most of a lane's limits come from: a rule, with the `key` of the lane or a pattern; a job; or the kind."""

    sort: Literal["rule", "job", "kind"]
    key: str = ""


class LaneView(NamedTuple):
    """A lane; or a pattern, for which nothing is counted. `origin` is None if nothing limits it."""

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
    """Combine what the ledger and, if it answers, Redis know about a lane."""
    own = next((rule for rule in rules if rule.key == key), Rule(key))
    if is_pattern(key):
        pause = own if own.is_paused(now) else None
        return LaneView(key, own.limits, pause, _breaker_of(own, None), None, None, Origin("rule", key))
    waiting, running = counts or LaneCounts(0, 0)
    # Redis knows the limits from jobs and kinds; rules are in the ledger first.
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
    """Return the breaker's state from Redis, or from the ledger: Redis has nothing about a lane without activity."""
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
    """Return the settings of a lane that a user may change, as they apply, without counts."""
    limits = view.limits._asdict()
    pause = {"paused": view.pause is not None, "paused_until": view.pause.paused_until if view.pause else None}
    return {**limits, **pause, "breaker": view.breaker.forced}


def target_of(key: str) -> tuple[str, str]:
    """Return the sort of thing that a lane's key names, and its name: kinds and queues are paused as lanes are."""
    sort, _, name = key.partition(":")
    return (sort, name) if sort in ("kind", "queue") else ("lane", key)
