"""The hooks around an attempt: the kind's errors pass through them, and their own errors are told apart."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from service.worker.performing.failure import line_of

T = TypeVar("T")


class HookFailed(Exception):
    """A hook around an attempt raised an error of its own."""


async def within_hooks(around: AbstractAsyncContextManager[None], call: Callable[[], Awaitable[T]]) -> T:
    """Await `call` within hooks, and raise what it raises, even if a hook swallows it. Raises `HookFailed`."""
    raised: BaseException | None = None
    returned: list[T] = []
    try:
        async with around:
            try:
                returned.append(await call())
            except BaseException as error:
                raised = error
                raise
    except BaseException as error:
        if error is not raised:
            raise HookFailed(f"a hook around the attempt raised {line_of(error)}") from error
        raise
    if raised is not None:
        raise raised
    return returned[0]
