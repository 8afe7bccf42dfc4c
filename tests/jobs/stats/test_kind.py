"""What `update_stats` takes. That it counts once is the counters' promise: `tests/service/stats/test_capability.py`."""

import pytest
from pydantic import ValidationError

from jobs.stats import UpdateStatsArgs, update_stats

EVENT: dict[str, object] = {"subject": "a", "event": "b"}


def test_its_args_are_proved_their_time_among_them() -> None:
    assert update_stats.round_trip.is_proved


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": ""},
        {"subject": "kind:send_email"},
        {"event": "x" * 256},
        {"count": 10**10},
        {"count": 1.5},
        {"at": "2026-01-01T00:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"id": ""},
        {"subject": "😀" * 255, "event": "😀" * 255, "id": "😀" * 255},
        {"by": 1},
        {"subject": None},
        {"events": [EVENT]},
    ],
)
def test_events_that_cannot_be_counted_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UpdateStatsArgs.model_validate(EVENT | wrong)


@pytest.mark.parametrize("wrong", [{"events": []}, {"events": [EVENT] * 1_001}, {"events": [EVENT], "count": 2}, {}])
def test_batches_that_cannot_be_counted_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UpdateStatsArgs.model_validate(wrong)


def test_one_event_and_many_are_the_same_to_the_counters_and_read_back_from_their_json() -> None:
    at = {"at": "2026-01-01T00:00:00Z", "id": "i", "unique": "u", "count": 3}
    for sent in (EVENT | at, {"events": [EVENT | at]}):
        args = UpdateStatsArgs.model_validate(sent)
        again = UpdateStatsArgs.model_validate_json(args.model_dump_json())
        assert again == args
        assert [one.model_dump(mode="json") for one in again.all_events()] == [EVENT | at]
