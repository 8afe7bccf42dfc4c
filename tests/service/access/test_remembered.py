"""What is looked up again and again, and may be two seconds old."""

import asyncio

import pytest

from service.access import remembered
from service.access.remembered import Remembered
from service.errors import LedgerUnavailable


class Source:
    """Counts its reads; each waits until it is let go."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.value: str | None = "old"
        self.go = asyncio.Event()
        self.go.set()
        self.is_away = False

    async def __call__(self, name: str) -> str | None:
        self.reads.append(name)
        await self.go.wait()
        if self.is_away:
            raise LedgerUnavailable("away")
        return self.value


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr("service.access.remembered.time.monotonic", lambda: clock[0])
    return clock


async def test_it_is_read_once_for_all_who_ask_and_again_when_it_is_two_seconds_old(now: list[float]) -> None:
    source = Source()
    known = Remembered(source)
    assert await asyncio.gather(*(known.of("a") for _ in range(50))) == ["old"] * 50
    source.value = "new"
    now[0] = 0.9
    assert (known.recall("a"), await known.of("a"), source.reads) == ("old", "old", ["a"])
    now[0] = 2.0
    assert (known.recall("a"), await known.of("a"), source.reads) == (None, "new", ["a", "a"])


async def test_it_is_read_in_the_background_before_it_is_too_old(now: list[float]) -> None:
    source = Source()
    known = Remembered(source)
    await known.of("a")
    source.value = "new"
    now[0] = 1.5
    assert [known.recall("a") for _ in range(10)] == ["old"] * 10
    await known.close()
    assert (known.recall("a"), source.reads) == ("new", ["a", "a"])
    source.is_away = True
    now[0] = 2.7
    assert known.recall("a") == "new"
    await known.close()
    now[0] = 3.5  # two seconds after the last one that was read
    with pytest.raises(LedgerUnavailable):
        await known.of("a")


async def test_what_was_read_before_it_was_forgotten_is_told_to_nobody_who_asks_after(now: list[float]) -> None:
    source = Source()
    known = Remembered(source)
    source.go.clear()
    asked = asyncio.create_task(known.of("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    known.forget("a")
    source.value = "new"
    again = asyncio.create_task(known.of("a"))
    await asyncio.sleep(0)
    source.go.set()
    assert await asked in ("old", "new")
    assert (await again, known.recall("a"), source.reads) == ("new", "new", ["a", "a"])


async def test_what_is_not_there_is_looked_for_each_time_and_memory_is_bounded(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    known = Remembered(source)
    source.value = None
    assert [await known.of("a"), await known.of("a")] == [None, None]
    assert source.reads == ["a", "a"]
    source.value = "there"
    monkeypatch.setattr(remembered, "_MOST", 3)
    for name in "abcd":
        await known.of(name)
    assert [known.recall(name) for name in "abcd"] == [None, "there", "there", "there"]
