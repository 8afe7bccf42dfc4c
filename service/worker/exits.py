"""`sys.exit()` in a task or callback that a kind left to the event loop: told from an end of the worker itself.

asyncio lets `SystemExit` and `KeyboardInterrupt` through to whoever runs the loop, which can go on all the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from service import logs

Names = Mapping[str, Any]
# Hears of the attempt that an exit comes from (None: of nobody's), and says whether to go on.
GoesOn = Callable[[Names | None, BaseException], bool]


def run_through_exits(loop: asyncio.AbstractEventLoop, main: asyncio.Future[Any], goes_on: GoesOn) -> None:
    """Run the loop until `main` is done. Raises what `main` raises, and an exit after which nothing goes on."""
    while not main.done():
        try:
            loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt) as error:
            # One that comes in the turn in which `main` has ended cuts nothing short.
            if not main.done() and not goes_on(_attempt_behind(error), error):
                raise
        except RuntimeError:
            # The loop was stopped: by a kind, or by what ended in the turn of an exit and had no time to say so.
            if main.done() or loop.is_closed():
                raise
    main.result()


def _attempt_behind(error: BaseException) -> Names | None:
    """Find the attempt in whose context the loop called what raised `error`, and take the loop off its traceback."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is asyncio.Handle._run.__code__:  # noqa: SLF001 - the one place all callbacks pass
            handle = trace.tb_frame.f_locals["self"]
            error.__traceback__ = trace.tb_next
            return handle._context.get(logs.performing)  # type: ignore[no-any-return]  # noqa: SLF001 - no other way in 3.11
        trace = trace.tb_next
    return None
