"""`drain()`: runs what a test held."""

import asyncio
from collections.abc import Awaitable, Generator

from postlude.mode import Added
from postlude.testing.watching import Held, watch


def drain() -> Awaitable[None]:
    """Run the held tasks, and any that they add. Await it if a loop is running; otherwise it has run on return.

    A task that raises does not keep the others from running; the first error is raised afterwards.
    """
    if _is_loop_running():
        return _drain()
    asyncio.run(_drain())
    return _Done()


class _Done:
    def __await__(self) -> Generator[None, None, None]:
        yield from ()


async def _drain() -> None:
    held, first_error = watch().held, None
    while held:
        error = await _error_of(held.popleft())
        first_error = first_error or error
    if first_error is not None:
        raise first_error


async def _error_of(held: Held) -> Exception | None:
    try:
        await _run(held)
    except Exception as error:  # noqa: BLE001 - raised as soon as the others have run
        return error
    return None


async def _run(held: Held) -> None:
    """Run a task on the loop of its request if that still runs: what the app holds open may belong to it."""
    loop = held.loop
    if loop is None or loop is asyncio.get_running_loop() or not loop.is_running():
        await held.task.run()
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(held.task), loop))


async def _awaited(task: Added) -> None:
    await task.run()


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
