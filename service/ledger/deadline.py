"""The deadline for answers: whatever the ledger's database does, the caller gets an answer in time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.errors import FateUnknown, LedgerUnavailable

# Callers are promised an answer within 5 s; the rest is for reading the request and writing the answer.
ANSWER_WITHIN_S = 4.0
T = TypeVar("T")


async def in_time(call: Coroutine[Any, Any, T], *, writes: bool = False, within_s: float = ANSWER_WITHIN_S) -> T:
    """Return the result of `call`. Raises `LedgerUnavailable` when it takes longer, or `FateUnknown` if it `writes`.

    The call is a task of its own, which is cancelled and then left alone: even cleaning up after a connection that died
    in silence may hang.
    """
    task = asyncio.create_task(call)
    task.add_done_callback(_note_error)
    try:
        done, _ = await asyncio.wait({task}, timeout=within_s)
    finally:
        task.cancel()
    if done:
        return task.result()
    if writes:
        raise FateUnknown(f"The ledger's database did not confirm the write within {within_s:g} s")
    raise LedgerUnavailable(f"The ledger's database did not answer within {within_s:g} s. Send the request again.")


def _note_error(call: asyncio.Task[Any]) -> None:
    """Keep asyncio from reporting the error of a call that missed its deadline: nobody waits for it any more."""
    if not call.cancelled():
        call.exception()
