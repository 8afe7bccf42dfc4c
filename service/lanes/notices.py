"""What is paused and which breakers are not closed, in words, so that nobody wonders why nothing runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from service.lane_rules import Rule, is_pattern
from service.ledger.reads.held_back import HeldBack


class Notices(NamedTuple):
    """A line for each thing; the last says how many more there are."""

    paused: Sequence[str] = ()
    breakers: Sequence[str] = ()


def notices_of(held_back: HeldBack) -> Notices:
    """Put it into words."""
    kinds_and_queues = [f"the {rule.key.replace(':', ' ', 1)}{_until(rule)}" for rule in held_back.kinds_and_queues]
    lanes = [f"the {'lanes' if is_pattern(rule.key) else 'lane'} {rule.key}{_until(rule)}" for rule in held_back.lanes]
    return Notices(
        paused=[*kinds_and_queues, *lanes, *_more(held_back.lanes_count - len(lanes))],
        breakers=[
            *map(_broken, held_back.breakers),
            *_more(held_back.breakers_count - len(held_back.breakers)),
        ],
    )


def moment(value: datetime) -> str:
    """Write a time for people: 2026-01-31T12:00:00.000Z."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _until(rule: Rule) -> str:
    return "" if rule.paused_until is None else f" until {moment(rule.paused_until)}"


def _broken(rule: Rule) -> str:
    if rule.breaker_forced is not None:
        return f"{rule.key}: forced {rule.breaker_forced}"
    # A probe may be under way by now, which only Redis knows.
    until = "" if rule.breaker_until is None else f", lets one job try at {moment(rule.breaker_until)}"
    reason = "" if rule.breaker_reason is None else f"; the last failure: {rule.breaker_reason}"
    return f"{rule.key}: {rule.breaker_state.replace('_', ' ')}{until}{reason}"


def _more(count: int) -> list[str]:
    return [f"{count} more: see /v1/lanes"] if count > 0 else []
