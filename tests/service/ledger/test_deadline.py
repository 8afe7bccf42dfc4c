"""The deadline for answers."""

import asyncio

import pytest

from service.errors import FateUnknown, LedgerUnavailable
from service.ledger.deadline import in_time


async def test_a_call_that_ends_in_time_returns_its_result_or_raises_its_error() -> None:
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise LookupError

    assert await in_time(give()) == 7
    with pytest.raises(LookupError):
        await in_time(fail())


async def test_a_call_that_never_stops_cleaning_up_holds_up_nobody() -> None:
    released = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await released.wait()

    with pytest.raises(LedgerUnavailable, match=r"did not answer within 0\.01 s"):
        await in_time(hang(), within_s=0.01)
    with pytest.raises(FateUnknown, match="it may be recorded, or not"):
        await in_time(hang(), writes=True, within_s=0.01)
    released.set()


async def hang_until_told(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


async def test_cancelling_the_caller_cancels_the_call() -> None:
    ended = asyncio.Event()

    waiting = asyncio.create_task(in_time(hang_until_told(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
