"""What becomes of the attempts of an ending worker: drained if it was told to stop, otherwise recorded as crashed."""

import asyncio

from service.worker.performing.attempt import Performer

# How long interrupted attempts have to end, and outcomes to be written.
STOP_WAIT_S = 2.0


async def drain(performer: Performer, *, within_s: float, hurry: asyncio.Event) -> None:
    """Let running attempts finish in time, or until `hurry`; then interrupt them, so that they go back without cost."""
    workload = performer.workload
    workload.slots.hand_back()
    idle = asyncio.create_task(performer.idle())
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait({idle, hurried}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    workload.stop_all()
    await asyncio.wait({idle}, timeout=STOP_WAIT_S)
    workload.give_up_all()
    await asyncio.wait({idle}, timeout=STOP_WAIT_S)
    idle.cancel()


async def record_crashes(performer: Performer, error: BaseException, main: asyncio.Task[None]) -> None:
    """Record running attempts as crashed now, not when a lease runs out; `main` is ending meanwhile."""
    performer.workload.crash(error)
    idle = asyncio.create_task(performer.idle())
    await asyncio.wait({main, idle}, timeout=STOP_WAIT_S)
    idle.cancel()
