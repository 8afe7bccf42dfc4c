"""arq's own worker class in place of ours (`POSTLUDE_STOCK_WORKER=1`): it knows neither lanes nor pauses."""

import asyncio

from service.errors import StartRefused
from service.ledger.reads.lanes import has_lanes
from service.resources import Resources
from service.worker.backoff import outage_waits
from service.worker.keeping.housekeeping import OUTAGES

_REFUSAL = (
    "POSTLUDE_STOCK_WORKER=1 runs arq's own worker class, which knows neither lanes nor pauses, and there are some:"
    " `postlude lanes list` shows the lanes, and /readyz what is paused. Delete these rules, resume what is paused and"
    " let the jobs that name a lane end, or start without that setting."
)


async def begin(resources: Resources) -> None:
    """Announce that arq's own worker is at work; raise `StartRefused` if it would bypass lanes or pauses.

    Waits for both servers. It checks twice because a rule may be set before the announcement reaches everybody.
    """
    for wait_s in outage_waits():
        try:
            await _refuse_lanes(resources)
            await resources.queue.mark_stock_worker()
            await _refuse_lanes(resources)
        except OUTAGES:
            await asyncio.sleep(wait_s)
        else:
            return


async def _refuse_lanes(resources: Resources) -> None:
    async with resources.ledger.read() as connection:
        if await has_lanes(connection, await resources.ledger.database.now(connection)):
            raise StartRefused(_REFUSAL)
