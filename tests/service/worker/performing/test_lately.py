"""What ended lately: this moment counts, and the one before if more ended then; nothing older does."""

import pytest

from service.worker.performing.lately import MOMENT_S, Lately


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment = 100.5
        monkeypatch.setattr("service.worker.performing.lately.time.monotonic", lambda: self.moment * MOMENT_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def end(ended: Lately, kind: str, count: int) -> None:
    for _ in range(count):
        ended.note(kind)


def test_moment_before_counts_until_more_have_ended_in_this_one(clock: Clock) -> None:
    ended = Lately()
    end(ended, "quick", 3)
    end(ended, "slow", 1)
    clock.moment += 1
    assert (ended.count, ended.by_kind) == (4, {"quick": 3, "slow": 1})
    end(ended, "quick", 5)
    assert (ended.count, ended.by_kind) == (5, {"quick": 5, "slow": 1})


def test_what_ended_earlier_is_forgotten(clock: Clock) -> None:
    ended = Lately()
    end(ended, "quick", 3)
    clock.moment += 2
    assert (ended.count, ended.by_kind) == (0, {})
