import pytest

from postlude.fastapi.attempts import KEPT_S, Attempts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("postlude.fastapi.attempts.time.monotonic", lambda: now[0])
    return now


def test_attempt_begins_once(clock: list[float]) -> None:
    attempts = Attempts()
    assert attempts.begin("a", 1)
    assert not attempts.begin("a", 1)
    assert attempts.begin("a", 2)
    assert attempts.begin("b", 1)
    attempts.end("a", 1)
    assert not attempts.begin("a", 1)


def test_attempt_is_remembered_from_its_end_on(clock: list[float]) -> None:
    attempts = Attempts()
    attempts.begin("long", 1)
    clock[0] += 10 * KEPT_S
    assert not attempts.begin("long", 1)
    attempts.end("long", 1)
    clock[0] += KEPT_S - 1
    assert not attempts.begin("long", 1)


def test_what_is_long_ago_is_forgotten(clock: list[float]) -> None:
    attempts = Attempts()
    for number in range(100):
        attempts.begin("a", number)
        attempts.end("a", number)
    clock[0] += KEPT_S + 1
    attempts.begin("b", 1)
    assert (len(attempts._ended), len(attempts._running)) == (0, 1)
