"""What `update_stats` takes. That it counts once is the counters' promise: `tests/service/stats/test_capability.py`."""

import pytest
from pydantic import ValidationError

from jobs.stats import UpdateStatsArgs, update_stats


def test_its_args_are_proved_their_time_among_them() -> None:
    assert update_stats.round_trip.is_proved


@pytest.mark.parametrize(
    "wrong",
    [{"subject": ""}, {"event": "x" * 256}, {"count": 10**10}, {"count": 1.5}, {"at": "2026-01-01T00:00"}, {"by": 1}],
)
def test_events_that_cannot_be_counted_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UpdateStatsArgs.model_validate({"subject": "a", "event": "b"} | wrong)
