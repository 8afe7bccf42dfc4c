"""Reads the scripts' answers about lanes. Nonsense counts as no answer."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from service.lane_rules import BreakerState, Forced
from service.queue.lane_state import BreakerChange, LaneState

_STATES = ("closed", "open", "half_open")


def breaker_change_of(told: Sequence[Any]) -> BreakerChange:
    lane, state, until, step, reason = told
    return BreakerChange(
        lane.decode(), cast(BreakerState, state.decode()), _moment(until), int(number_of(step) or 0), _text(reason)
    )


def lane_state_of(told: Sequence[Any]) -> LaneState:
    flat, running, waiting, opens_at, tokens = told
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    paused, concurrency = number_of(fields.get(b"paused_until")), number_of(fields.get(b"concurrency"))
    is_paused = paused is not None and (paused == -1 or _is_ahead(paused))
    forced = _text(fields.get(b"forced"))
    return LaneState(
        running=running,
        waiting=waiting,
        concurrency=None if concurrency is None else int(concurrency),
        rate=_rate(fields),
        strict=b"strict" in fields,
        is_shared=b"share" in fields,
        head=_text(fields.get(b"head")),
        opens_at=_moment(opens_at),
        tokens=number_of(tokens),
        paused=is_paused,
        paused_until=_moment(paused) if is_paused and paused != -1 else None,
        breaker=_breaker(fields),
        breaker_forced=cast(Forced, forced) if forced in ("open", "closed") else None,
        breaker_until=_moment(fields.get(b"until")),
        breaker_step=int(number_of(fields.get(b"step")) or 0),
        breaker_reason=_text(fields.get(b"reason")),
        failures=int(number_of(fields.get(b"failures")) or 0),
    )


def _breaker(fields: Mapping[bytes, bytes]) -> BreakerState:
    state = _text(fields.get(b"breaker"))
    return cast(BreakerState, state) if state in _STATES else "closed"


def _rate(fields: Mapping[bytes, bytes]) -> tuple[int, float] | None:
    limit, per_ms = number_of(fields.get(b"rate")), number_of(fields.get(b"per"))
    return None if limit is None or per_ms is None else (int(limit), per_ms / 1000)


def _is_ahead(ms: float) -> bool:
    return ms / 1000 > datetime.now(UTC).timestamp()


def number_of(told: Any) -> float | None:
    """Read a finite number; None for anything else."""
    try:
        number = float(told)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _moment(told: Any) -> datetime | None:
    ms = number_of(told)
    try:
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _text(told: Any) -> str | None:
    return told.decode(errors="replace") if told else None
