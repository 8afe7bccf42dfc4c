"""The limits that apply to a lane: the rules in SQL, and the limits that jobs and kinds gave it. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from jobs.kit.lane import RESERVED_PREFIXES, Lane, Rate, check_key, check_text
from jobs.kit.outcomes import to_timedelta

BreakerState = Literal["closed", "open", "half_open"]
Forced = Literal["open", "closed"]


class Limits(NamedTuple):
    """Limits of a lane; None sets no limit. `rate` is (starts, seconds). Only a kind gives a `longest_pause_s`."""

    concurrency: int | None = None
    rate: tuple[int, float] | None = None
    strict: bool | None = None
    longest_pause_s: float | None = None

    def over(self, weaker: "Limits") -> "Limits":
        """Return these limits, with those of `weaker` for each that is None here."""
        return Limits(
            weaker.concurrency if self.concurrency is None else self.concurrency,
            weaker.rate if self.rate is None else self.rate,
            weaker.strict if self.strict is None else self.strict,
            weaker.longest_pause_s if self.longest_pause_s is None else self.longest_pause_s,
        )

    @property
    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.concurrency is not None:
            told["concurrency"] = self.concurrency
        if self.rate is not None:
            told["rate"] = {"limit": self.rate[0], "per": self.rate[1]}
        if self.strict:
            told["order"] = "strict"
        if self.longest_pause_s is not None:
            told["longest_pause"] = self.longest_pause_s
        return told


_UNLIMITED = Limits()
# What `written_limits` writes for a lane that is given a strict order.
STRICT_LIMITS = '"order":"strict"'


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of `lanes`: what was set for a lane, for all lanes that match a pattern, or for a kind or queue."""

    key: str
    concurrency: int | None = None
    rate_limit: int | None = None
    rate_per_s: float | None = None
    strict: bool = False
    paused: bool = False
    paused_until: datetime | None = None
    breaker_state: BreakerState = "closed"
    breaker_forced: Forced | None = None
    breaker_until: datetime | None = None
    breaker_step: int = 0
    breaker_reason: str | None = None
    updated_at: datetime | None = None

    @property
    def limits(self) -> Limits:
        rate = None
        if self.rate_limit is not None and self.rate_per_s is not None:
            rate = (self.rate_limit, self.rate_per_s)
        return Limits(self.concurrency, rate, self.strict or None)

    def is_paused(self, now: datetime) -> bool:
        return self.paused and (self.paused_until is None or self.paused_until > now)

    def says_nothing(self, now: datetime) -> bool:
        is_closed = self.breaker_state == "closed" and self.breaker_forced is None
        return is_closed and self.limits == Limits() and not self.is_paused(now)


def in_order(lane: str | None, kind_lane: str | None) -> tuple[str, ...]:
    """Return a job's lanes: its request's before its kind's."""
    if kind_lane is None:
        return () if lane is None else (lane,)
    return (kind_lane,) if lane is None or lane == kind_lane else (lane, kind_lane)


def is_pattern(key: str) -> bool:
    return "*" in key


def check_rule_key(key: str) -> None:
    """Raise `ValueError` unless a rule may have this key: of a lane, a pattern of lanes, a kind or a queue."""
    if key.startswith(RESERVED_PREFIXES):
        check_text(key)
        if is_pattern(key) or key in RESERVED_PREFIXES:
            raise ValueError(f"kinds and queues are paused by their whole names, not by a pattern: {key!r}")
    elif is_pattern(key):
        check_text(key)
    else:
        check_key(key)


def matches(pattern: str, key: str) -> bool:
    """Whether a lane's key fits a pattern, in which each `*` stands for any text. Kinds and queues fit none."""
    return not key.startswith(RESERVED_PREFIXES) and _compiled(pattern).fullmatch(key) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Each star but the last takes as little as it can. There is no backtracking, so no pattern takes long.
    first, *rest = (re.escape(part) for part in pattern.split("*"))
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    last = f".*{rest[-1]}" if rest else ""
    return re.compile(first + middle + last, re.DOTALL)


def specificity(pattern: str) -> tuple[int, int, str]:
    """Return a sort key, from the least specific pattern to the most: by literal text, then by fewer stars."""
    stars = pattern.count("*")
    return len(pattern) - stars, -stars, pattern


def rules_of(rules: Iterable[Rule], key: str) -> list[Rule]:
    """Return the rules that apply to a lane, most specific first: its own, then those whose patterns it fits."""
    own = [rule for rule in rules if rule.key == key]
    patterns = [rule for rule in rules if is_pattern(rule.key) and matches(rule.key, key)]
    return own + sorted(patterns, key=lambda rule: specificity(rule.key), reverse=True)


def limits_of(rules: Sequence[Rule], key: str, *, sent: Limits | None = None, of_kind: Limits | None = None) -> Limits:
    """Return the limits that apply to a lane.

    Each limit comes from the most specific rule that sets it, else from the latest job (`sent`), else from the kind.
    """
    held = Limits()
    for limits in (*(rule.limits for rule in rules_of(rules, key)), sent, of_kind):
        held = held.over(limits or Limits())
    return held._replace(concurrency=1) if held.strict else held


def paused_by(rules: Sequence[Rule], key: str, now: datetime) -> Rule | None:
    """Return the rule that pauses a lane the longest, if any does."""
    paused = [rule for rule in rules_of(rules, key) if rule.is_paused(now)]
    for_good = (rule for rule in paused if rule.paused_until is None)
    return next(for_good, None) or max(paused, key=lambda rule: rule.paused_until or now, default=None)


def limits_in(lane: Lane) -> Limits:
    """Return the limits that a job or a kind gives its lane."""
    rate = (lane.rate.limit, lane.rate.per_s) if lane.rate else None
    longest_pause_s = None if lane.longest_pause is None else to_timedelta(lane.longest_pause).total_seconds()
    return Limits(lane.concurrency, rate, True if lane.order else None, longest_pause_s)


def written_limits(lane: Lane | None, kind_lane: Lane | None) -> str | None:
    """Write the limits that a job's lanes were given.

    It is `{key: {"concurrency"?, "rate"?: {"limit", "per"}, "order"?, "longest_pause"?, "label"?, "from"}}`.
    A kind's lane is always included, because even without limits it may take only its share of a worker; a request's
    lane only if it has limits. A lane that both name has the limits of both, and counts as the kind's.
    """
    told: dict[str, Any] = {}
    if lane is not None and (limits := limits_in(lane)) != _UNLIMITED:
        told[lane.key] = limits.as_json | {"from": "request"}
    if kind_lane is not None:
        limits = limits_in(kind_lane)
        if lane is not None and lane.key == kind_lane.key:
            limits = limits_in(lane).over(limits)
        label = {} if kind_lane.label is None else {"label": kind_lane.label}
        told[kind_lane.key] = limits.as_json | label | {"from": "kind"}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) if told else None


def lane_fields(lane: Lane | None, kind_lane: Lane | None) -> dict[str, str | None]:
    """Return a job's columns about its lanes, and its label. A lane that request and kind both name counts once."""
    is_same = lane is not None and kind_lane is not None and lane.key == kind_lane.key
    return {
        "lane": lane.key if lane else None,
        "kind_lane": kind_lane.key if kind_lane and not is_same else None,
        "lane_limits": written_limits(lane, kind_lane),
        "label": kind_lane.label if kind_lane else None,
    }


def given_lane(key: str | None, lane_limits: str | None) -> Lane | None:
    """Read one of a job's lanes back from its columns."""
    if key is None:
        return None
    written = (json.loads(lane_limits) if lane_limits else {}).get(key, {})
    limits = read_limits(written)
    rate = None if limits.rate is None else Rate(limits.rate[0], per=limits.rate[1])
    order: Literal["strict"] | None = "strict" if limits.strict else None
    return Lane(key, limits.concurrency, rate, order, limits.longest_pause_s, written.get("label"))


def read_limits(written: Mapping[str, Any]) -> Limits:
    """Read what `written_limits` wrote for one lane."""
    rate = written.get("rate")
    return Limits(
        written.get("concurrency"),
        (rate["limit"], rate["per"]) if rate else None,
        True if written.get("order") == "strict" else None,
        written.get("longest_pause"),
    )


@lru_cache(maxsize=1024)
def label_in(lane_limits: str | None) -> str | None:
    """Return the label of a job from its row's lane limits: only jobs in lanes have one."""
    if lane_limits is None or '"label":' not in lane_limits:
        return None
    return next((label for told in json.loads(lane_limits).values() if (label := told.get("label"))), None)


def counted_as(kind: str, lane_limits: str | None) -> str:
    """Return what a job counts as: its label, or else its kind."""
    return kind if lane_limits is None else label_in(lane_limits) or kind
