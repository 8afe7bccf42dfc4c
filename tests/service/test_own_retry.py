from datetime import UTC, datetime

from service.own_retry import OwnRetry, retry_until


def test_a_duration_that_the_calendar_does_not_hold_never_ends() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert retry_until(OwnRetry(max_duration=1).to_json(), last) is None
    assert retry_until(OwnRetry(max_duration=0.001).to_json(), datetime(9999, 12, 31, tzinfo=UTC)) is not None
