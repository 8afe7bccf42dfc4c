"""A lane as users see it puts together what the ledger and Redis know."""

from datetime import UTC, datetime

from service.lane_rules import BreakerState, Rule
from service.lanes.lane_view import BreakerView, Origin, view_of
from service.queue import LaneState

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def breaker_of(state: BreakerState) -> BreakerView:
    return view_of(
        "host:a", [], None, LaneState(breaker=state, breaker_until=NOW, breaker_reason="refused"), NOW
    ).breaker


def test_only_an_open_breaker_tells_when_it_lets_a_job_try() -> None:
    assert breaker_of("open") == BreakerView("open", None, NOW, 0, "refused")
    assert breaker_of("half_open") == BreakerView("half_open", None, None, 0, "refused")


def test_the_origin_of_limits_is_the_most_specific_rule_that_gives_any_else_a_job_or_the_kind() -> None:
    sent, given = LaneState(concurrency=3), LaneState(concurrency=3, is_shared=True)
    rules = [Rule("host:a", paused=True), Rule("host:*", concurrency=2), Rule("*", rate_limit=1, rate_per_s=1.0)]
    assert view_of("host:a", rules, None, sent, NOW).origin == Origin("rule", "host:*")
    assert view_of("host:a", [], None, sent, NOW).origin == Origin("job")
    assert view_of("host:a", [], None, given, NOW).origin == Origin("kind")
    assert view_of("host:a", [], None, LaneState(is_shared=True), NOW).origin is None
