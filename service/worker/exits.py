"""Distinguishes `sys.exit()` in a task or callback that a kind left to the event loop from the worker's own end.

asyncio passes `SystemExit` and `KeyboardInterrupt` on to the caller that runs the loop; the loop can still go on.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from service.performing import performing

Names = Mapping[str, Any]
# Gets the attempt that an exit comes from, None if it comes from none; returns whether to go on.
GoesOn = Callable[[Names | None, BaseException], bool]


def run_through_exits(loop: asyncio.AbstractEventLoop, main: asyncio.Future[Any], goes_on: GoesOn) -> None:
    """Run the loop until `main` is done. Raises what `main` raises, and any exit that must end the worker."""
    while not main.done():
        try:
            loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt) as error:
            # An exit in the same turn as the end of `main` cuts nothing short.
            if not main.done() and not goes_on(_attempt_behind(error), error):
                raise
        except RuntimeError:
            # Stopped by a kind, or by a future that was done in the turn of an exit.
            if main.done() or loop.is_closed():
                raise
    main.result()


def _attempt_behind(error: BaseException) -> Names | None:
    """Find the attempt in whose context the loop ran what raised `error`; remove the loop from its traceback."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is asyncio.Handle._run.__code__:  # noqa: SLF001 - the one place that all callbacks pass
            handle = trace.tb_frame.f_locals["self"]
            error.__traceback__ = trace.tb_next
            attempt = handle._context.get(performing)  # noqa: SLF001 - no other way in 3.11
            return None if attempt is None else attempt.names
        trace = trace.tb_next
    return None
