"""The event loop is watched from outside: what blocks it is named, and a dead one ends its process."""

import asyncio
import threading
import time
from typing import Any

import pytest
import structlog

from service.worker.keeping.loop_watch import DEAD_AFTER_S, LoopWatch, Running

SLOW = Running("an-id", "slow", timeout_s=30.0)


class _Ended(Exception):
    """Stands for the end of the process."""


def _end() -> None:
    raise _Ended


@pytest.fixture
async def watch() -> LoopWatch:
    return LoopWatch(lambda: [SLOW], end=_end)


async def test_loop_that_turns_has_no_lag(watch: LoopWatch) -> None:
    for _ in range(20):
        assert not watch.look(1.0)
        await asyncio.sleep(0)
    assert (watch.lag_s, watch.blocked) == (0.0, False)


async def test_blocked_loop_is_reported_once_with_what_runs_and_where(watch: LoopWatch) -> None:
    with structlog.testing.capture_logs() as logs:
        changes = [watch.look(1.0) for _ in range(10)]
    assert changes.count(True) == 1
    assert watch.blocked
    (entry,) = [log for log in logs if log["event"] == "loop_blocked"]
    assert entry["running"] == {"slow": 1}
    assert "test_blocked_loop_is_reported" in entry["where"]


async def test_loop_that_turns_again_is_reported(watch: LoopWatch) -> None:
    for _ in range(7):
        watch.look(1.0)
    await asyncio.sleep(0)
    assert watch.look(1.0)
    assert not watch.blocked


async def test_dead_loop_ends_the_process_after_the_longest_timeout_and_a_minute(watch: LoopWatch) -> None:
    for _ in range(int(DEAD_AFTER_S + SLOW.timeout_s)):
        watch.look(1.0)
    with pytest.raises(_Ended):
        watch.look(1.0)


async def test_process_that_stood_still_as_a_whole_is_not_taken_for_a_dead_loop(watch: LoopWatch) -> None:
    watch.look(1.0)
    watch.look(3600.0)
    assert not watch.blocked


async def test_reported_stack_is_that_of_the_loops_thread(watch: LoopWatch) -> None:
    logs: list[Any] = []
    held = threading.Event()

    def look_from_outside() -> None:
        held.wait()
        with structlog.testing.capture_logs() as captured:
            for _ in range(7):
                watch.look(1.0)
        logs.extend(captured)

    looking = threading.Thread(target=look_from_outside)
    looking.start()
    _hold_the_loop_until(looking, held)
    assert "_hold_the_loop_until" in logs[0]["where"]


def _hold_the_loop_until(thread: threading.Thread, held: threading.Event) -> None:
    held.set()
    while thread.is_alive():
        time.sleep(0.001)
