"""The rules for jobs with one crash left."""

from datetime import UTC, datetime

from service.ledger.models import Started
from service.worker.suspects import Suspects

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def started(crashes: int) -> Started:
    return Started("an-id", "quick", 1, 0, crashes, 5, "{}", None, "default", None, NOW, "w", NOW)


def test_job_with_one_crash_left_is_a_suspect() -> None:
    assert [Suspects(3).includes(crashes) for crashes in range(4)] == [False, False, True, True]


def test_claim_starts_no_suspect_and_prefetches_nothing_that_has_crashed() -> None:
    assert Suspects(3).crashes_below(prefetched=False) == 2
    assert Suspects(3).crashes_below(prefetched=True) == 1


def test_suspects_start_one_at_a_time() -> None:
    suspects = Suspects(3)
    assert suspects.may_start(["a", "b"], [started(0), started(1)]) == ["a"]
    assert not suspects.may_start(["a", "b"], [started(0), started(2)])
