"""The deadline of writes."""

import asyncio

import pytest

from service.errors import FateUnknown
from service.web.write_deadline import WriteDeadline


async def hang(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


async def give() -> int:
    return 7


async def fail() -> None:
    raise LookupError


async def test_a_write_that_ends_in_time_returns_its_result_or_raises_its_error() -> None:
    deadline = WriteDeadline()
    assert await deadline.keep(give()) == 7
    with pytest.raises(LookupError):
        await deadline.keep(fail())


async def test_a_write_that_is_not_confirmed_in_time_is_of_unknown_fate_and_told_to_end() -> None:
    ended = asyncio.Event()
    with pytest.raises(FateUnknown, match=r"did not confirm the write within 0\.01 s: it may be recorded, or not"):
        await WriteDeadline().keep(hang(ended), within_s=0.01)
    assert ended.is_set()


async def test_each_write_has_its_own_time_and_one_timer_serves_all_again_and_again() -> None:
    deadline = WriteDeadline()
    for _ in range(2):
        ended = [asyncio.Event() for _ in range(3)]
        short = [asyncio.create_task(deadline.keep(hang(one), within_s=0.01)) for one in ended[:2]]
        long = asyncio.create_task(deadline.keep(hang(ended[2]), within_s=60))
        assert all(isinstance(error, FateUnknown) for error in await asyncio.gather(*short, return_exceptions=True))
        assert not long.done()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        assert ended[2].is_set()


async def test_a_caller_who_is_cancelled_is_not_told_of_a_deadline() -> None:
    waiting = asyncio.create_task(WriteDeadline().keep(hang(asyncio.Event())))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_late_caller_may_go_on_to_await() -> None:
    async def enqueue() -> int:
        with pytest.raises(FateUnknown):
            await WriteDeadline().keep(hang(asyncio.Event()), within_s=0.01)
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        return asyncio.current_task().cancelling()  # type: ignore[union-attr]

    assert await asyncio.create_task(enqueue()) == 0
