"""Threads that hang are replaced, counted and named, and nothing waits for them."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.performing import Performing, performing
from service.worker.performing.threads import JobThreads
from tests.support.running import eventually

COUNT = 2
NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


class Gate:
    """What a call hangs in until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def hang(self) -> None:
        self.entered.release()
        self.opened.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
async def threads() -> AsyncIterator[JobThreads]:
    """Threads as asyncio's default, as in a worker."""
    made = JobThreads(COUNT)
    asyncio.get_running_loop().set_default_executor(made)
    yield made
    made.shutdown()


async def _hang(gate: Gate) -> None:
    """Have one call hang."""
    waiting = asyncio.create_task(asyncio.to_thread(gate.hang))
    await eventually(lambda: _entered(gate))
    waiting.cancel()
    await asyncio.wait({waiting})


async def _entered(gate: Gate) -> bool:
    return gate.entered.acquire(blocking=False)


async def test_hung_calls_starve_nobody(threads: JobThreads, gate: Gate) -> None:
    for _ in range(100):
        await _hang(gate)
    assert threads.hung == 100
    together = threading.Barrier(COUNT, timeout=10)
    async with asyncio.timeout(20):
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(COUNT)))
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def test_hung_call_is_named_once_and_its_return_is_logged(threads: JobThreads, gate: Gate) -> None:
    performing.set(Performing("j1", "slow", 3, "{}"))
    with capture_logs() as told:
        await _hang(gate)
        threads.leave("j1", 3)
        gate.opened.set()

        async def is_back() -> bool:
            return threads.hung == 0

        await eventually(is_back)
        await eventually(lambda: _logged(told, "hung_thread_returned"))
    (warning,) = [line for line in told if line["event"] == "thread_hangs"]
    assert warning["log_level"] == "warning"
    named = {name: warning[name] for name in ("job_id", "kind", "attempt", "function")}
    assert named == {"job_id": "j1", "kind": "slow", "attempt": 3, "function": f"{__name__}.Gate.hang"}


async def _logged(told: list[Any], event: str) -> bool:
    return any(line["event"] == event for line in told)


async def test_call_that_outlives_its_attempt_hangs_although_nobody_cancelled_it(
    threads: JobThreads, gate: Gate
) -> None:
    performing.set(Performing("j1", "slow", 1, "{}"))
    left = asyncio.get_running_loop().run_in_executor(None, gate.hang)
    await eventually(lambda: _entered(gate))
    threads.leave("j1", 2)
    assert threads.hung == 0
    threads.leave("j1", 1)
    assert threads.hung == 1
    gate.opened.set()
    await left


async def test_full_is_told_when_as_many_hang_as_there_are_jobs_at_once(threads: JobThreads, gate: Gate) -> None:
    told: list[int] = []
    threads.on_full = lambda: told.append(threads.hung)
    for _ in range(COUNT):
        assert not threads.is_full
        await _hang(gate)
    assert threads.is_full
    assert told == [COUNT]


async def test_name_lookups_that_hang_do_not_count_as_hung_calls(
    threads: JobThreads, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker outlives servers whose names cannot be found, however often it tries to connect."""

    def silent(*_args: Any) -> None:
        gate.hang()

    monkeypatch.setattr("socket.getaddrinfo", silent)
    loop = asyncio.get_running_loop()
    with capture_logs() as told:
        for _ in range(50):
            looking = asyncio.create_task(loop.getaddrinfo("redis.example", 6379))
            await eventually(lambda: _entered(gate))
            looking.cancel()
            await asyncio.wait({looking})
        hangs = [one for one in told if one["event"] == "thread_hangs"]
        assert (threads.hung, threads.is_full, hangs) == (0, False, [])
    assert await asyncio.to_thread(NAME.get) == "nobody"  # and they take no room


@pytest.mark.parametrize("error", [StopIteration("x"), type("Stop", (StopIteration,), {})()])
async def test_stop_iteration_in_a_thread_is_an_error(threads: JobThreads, error: StopIteration) -> None:
    def stop() -> None:
        raise error

    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(stop)


async def test_context_is_carried_into_the_thread(threads: JobThreads) -> None:
    NAME.set("Ann")
    assert await asyncio.to_thread(NAME.get) == "Ann"


async def test_threads_are_used_again(threads: JobThreads) -> None:
    idents = {await asyncio.to_thread(threading.get_ident) for _ in range(50)}
    assert len(idents) < 25


async def test_threads_keep_no_process_and_idle_ones_end_at_shutdown(threads: JobThreads, gate: Gate) -> None:
    await _hang(gate)
    await asyncio.to_thread(threading.get_ident)
    ours = [one for one in threading.enumerate() if one.name == "job"]
    assert all(one.daemon for one in ours)
    threads.shutdown(wait=True)

    async def one_is_left() -> bool:
        return sum(one.is_alive() for one in ours) == 1

    await eventually(one_is_left)
    assert await asyncio.to_thread(NAME.get) == "nobody"  # what comes later is served all the same
