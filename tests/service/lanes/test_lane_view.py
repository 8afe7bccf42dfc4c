"""A lane as users see it puts together what the ledger and Redis know."""

from datetime import UTC, datetime

from service.lane_rules import BreakerState
from service.lanes.lane_view import BreakerView, view_of
from service.queue import LaneState

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def breaker_of(state: BreakerState) -> BreakerView:
    return view_of(
        "host:a", [], None, LaneState(breaker=state, breaker_until=NOW, breaker_reason="refused"), NOW
    ).breaker


def test_only_an_open_breaker_tells_when_it_lets_a_job_try() -> None:
    assert breaker_of("open") == BreakerView("open", None, NOW, 0, "refused")
    assert breaker_of("half_open") == BreakerView("half_open", None, None, 0, "refused")
