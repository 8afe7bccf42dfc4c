"""Lanes' limits in the form for the scripts: JSON with flat names, and milliseconds."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from service.lane_rules import Limits, Rule, is_pattern, read_limits, specificity
from service.queue.codec import milliseconds


@lru_cache(maxsize=1024)
def given_to(lanes: Sequence[str], lane_limits: str | None) -> tuple[str, ...]:
    """Return what each lane was given: `s` and limits sent with a job, `g` and its kind's limits, or nothing."""
    told = json.loads(lane_limits) if lane_limits else {}
    return tuple(_given(told[lane]) if lane in told else "" for lane in lanes)


def _given(told: dict[str, Any]) -> str:
    return ("g" if told.get("from") == "kind" else "s") + _written(_flat(read_limits(told)))


def written_rule(rule: Rule, now: datetime) -> str:
    return _written(_told(rule, now))


def written_patterns(rules: Sequence[Rule], now: datetime) -> str:
    """Write the rules for patterns, most specific first."""
    patterns = [rule for rule in rules if is_pattern(rule.key)]
    patterns.sort(key=lambda rule: specificity(rule.key), reverse=True)
    return json.dumps([{"key": rule.key, **_told(rule, now)} for rule in patterns], ensure_ascii=False)


def paused_until_ms(rule: Rule, now: datetime) -> int | None:
    """Return until when a rule pauses: -1 for good, None if it does not."""
    if not rule.is_paused(now):
        return None
    return -1 if rule.paused_until is None else milliseconds(rule.paused_until)


def _told(rule: Rule, now: datetime) -> dict[str, Any]:
    breaker: dict[str, Any] = {"forced": rule.breaker_forced}
    if rule.breaker_state != "closed":
        breaker |= {"breaker": rule.breaker_state, "step": rule.breaker_step, "reason": rule.breaker_reason}
        breaker["until"] = milliseconds(rule.breaker_until) if rule.breaker_until else None
    told = _flat(rule.limits) | {"paused_until": paused_until_ms(rule, now)} | breaker
    return {name: value for name, value in told.items() if value is not None}


def _flat(limits: Limits) -> dict[str, Any]:
    flat: dict[str, Any] = {"concurrency": limits.concurrency, "strict": limits.strict or None}
    if limits.longest_pause_s is not None:
        flat["longest"] = limits.longest_pause_s * 1000
    if limits.rate is not None:
        flat |= {"rate": limits.rate[0], "per": limits.rate[1] * 1000}
    return {name: value for name, value in flat.items() if value is not None}


def _written(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
