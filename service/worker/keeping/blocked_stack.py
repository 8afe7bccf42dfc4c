"""Reports the stack of an attempt that blocks the event loop, from another thread, because the loop cannot be asked."""

import asyncio
import threading
from functools import partial

from service import agreed_time
from service.ledger.database import Database
from service.ledger.reads.workers import wishes_of
from service.ledger.records.stacks import TakenStack, record_stacks
from service.worker.performing import stack
from service.worker.workload import Workload


class BlockedStack:
    """Looks for wishes about the attempt that the loop is busy with. Create it on the loop."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()

    async def tell(self, database: Database) -> None:
        """Report the stack of the attempt that blocks the loop, if somebody has asked for it."""
        task = asyncio.current_task(self._loop)
        blocking = next((one for one in self._workload.running if one.is_in(task)), None)
        if blocking is None:
            return
        async with database.connect() as connection:
            wishes = await wishes_of(connection, self._workload.worker_id)
        key = (blocking.started.id, blocking.started.attempt)
        if key in wishes.stacks:
            taken = TakenStack(*key, stack.told(["It blocks the event loop:\n", *stack.of_thread(self._thread_id)]))
            await database.run(partial(record_stacks, taken=[taken], at=agreed_time.now()))
