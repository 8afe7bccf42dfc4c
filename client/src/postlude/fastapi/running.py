"""Runs a function as the app would: with its dependencies, and a `def` in a thread."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.background import BackgroundTask

from postlude.calling.arguments import unpack
from postlude.calling.call import Call
from postlude.calling.names import find
from postlude.calling.parameters import solved_parameters
from postlude.fastapi.solving import solved

Function = Callable[..., Any]

_HAS_NEW_WORD = "abandon_on_cancel" in inspect.signature(to_thread.run_sync).parameters  # since anyio 4.1
# A thread cannot be stopped: it is abandoned.
_LEAVE: dict[str, Any] = {"abandon_on_cancel" if _HAS_NEW_WORD else "cancellable": True}


class FunctionUnknown(LookupError):
    """The app has no function of this name."""


async def run_task(app: Any, call: Call, *, function: Function | None = None) -> Any:
    """Run a function of an app, and return what it returns.

    Raises what it raises, `ArgumentsUnfit` and `FunctionUnknown`.
    """
    function = function or find(call.function)
    if function is None:
        raise FunctionUnknown(f"there is no function {call.function}")
    bound = unpack(function, call.arguments)
    missing = solved_parameters(function, bound)
    if not missing:
        return await _run(function, bound)

    async def run(given: dict[str, Any]) -> Any:
        bound.arguments.update(given)
        return await _run(function, bound)

    return await solved(app, missing, run)


async def _run(function: Function, bound: inspect.BoundArguments) -> Any:
    if BackgroundTask(function).is_async:
        return await function(*bound.args, **bound.kwargs)
    work = partial(function, *bound.args, **bound.kwargs)
    return await to_thread.run_sync(work, **_LEAVE)
