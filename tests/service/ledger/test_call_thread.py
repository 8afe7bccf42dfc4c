"""The thread makes each call once, in order, and tells the one who waits, whatever becomes of callers and loops."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from service.ledger.call_thread import CallThread
from tests.support.running import eventually


@pytest.fixture
async def thread() -> AsyncIterator[CallThread]:
    thread = CallThread("calls")
    yield thread
    thread.end()


def runs(name: str) -> bool:
    return name in {one.name for one in threading.enumerate()}


async def ended(name: str) -> bool:
    return not runs(name)


async def held_up(thread: CallThread) -> tuple[threading.Event, asyncio.Future[bool]]:
    """Have the thread wait for the event."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return go_on.wait()

    held = thread.call(wait)
    while not begun.is_set():
        await asyncio.sleep(0)
    return go_on, held


async def test_calls_are_made_in_their_order_and_in_one_thread(thread: CallThread) -> None:
    made: list[tuple[int, int]] = []

    def make(number: int) -> None:
        made.append((number, threading.get_ident()))

    await asyncio.gather(*(thread.call(partial(make, number)) for number in range(50)))
    [ident] = {ident for _, ident in made}
    assert ident != threading.get_ident()
    assert [number for number, _ in made] == list(range(50))


async def test_stop_iteration_is_an_error_as_well(thread: CallThread) -> None:
    with pytest.raises(RuntimeError, match="StopIteration") as raised:
        await asyncio.wait_for(thread.call(lambda: next(iter(()))), 10)
    assert isinstance(raised.value.__cause__, StopIteration)


async def test_an_error_is_raised_where_the_call_is_awaited_and_the_thread_goes_on(thread: CallThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await thread.call(partial(exit, 1))
    assert await thread.call(lambda: "went on") == "went on"


async def test_an_error_keeps_nothing_alive_once_it_was_handled(thread: CallThread) -> None:
    class Failed(Exception): ...

    def fail() -> None:
        raise Failed

    async def handled() -> weakref.ref[Failed]:
        try:
            await thread.call(fail)
        except Failed as error:
            return weakref.ref(error)
        raise AssertionError("it did not fail")

    gc.disable()
    try:
        failed = await handled()
        await thread.call(lambda: None)
        assert failed() is None
    finally:
        gc.enable()


async def test_a_call_that_nobody_waits_for_is_not_made_unless_it_has_begun(thread: CallThread) -> None:
    made: list[str] = []
    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    go_on, held = await held_up(thread)
    waiting = thread.call(lambda: made.append("gave up"))
    held.cancel()
    waiting.cancel()
    go_on.set()
    await thread.call(lambda: made.append("waits"))
    assert made == ["waits"]
    assert not unheard


def test_a_loop_that_was_closed_under_a_call_does_not_end_the_thread() -> None:
    thread = CallThread("calls")
    go_on: list[threading.Event] = []

    async def leave() -> None:
        go_on.append((await held_up(thread))[0])

    async def come_back() -> int:
        return await thread.call(lambda: 1)

    asyncio.run(leave())
    go_on[0].set()
    assert asyncio.run(come_back()) == 1
    thread.end()


async def test_waiting_calls_are_made_before_the_end_and_later_ones_are_refused() -> None:
    thread = CallThread("calls that end")
    go_on, _ = await held_up(thread)
    waiting = thread.call(lambda: "made")
    thread.end()
    with pytest.raises(RuntimeError, match="has ended"):
        thread.call(lambda: "late")
    go_on.set()
    assert await waiting == "made"
    await eventually(partial(ended, "calls that end"))


async def test_a_thread_that_was_forgotten_ends() -> None:
    thread = CallThread("forgotten calls")
    await thread.call(lambda: None)
    assert runs("forgotten calls")
    del thread
    await eventually(partial(ended, "forgotten calls"))


async def test_what_was_called_is_let_go(thread: CallThread) -> None:
    class Held: ...

    held: Any = Held()
    seen = weakref.ref(held)

    async def is_gone() -> bool:
        return seen() is None

    await thread.call(partial(id, held))
    del held
    await eventually(is_gone)


def test_a_thread_begins_with_its_first_call() -> None:
    thread = CallThread("calls not made")
    assert not runs("calls not made")
    thread.end()
