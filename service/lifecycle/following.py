"""What follows from the ends of jobs after the commit: released jobs go on the queue, and followups are done."""

import asyncio
import time
from functools import partial

import structlog
from sqlalchemy.exc import IntegrityError

from service import agreed_time
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Followed
from service.ledger.records.followups import record_followups
from service.lifecycle.dispatch import Dispatcher

log = structlog.get_logger(__name__)


class Following:
    """Carries on what was recorded with the ends of jobs. The sweep does what this process does not get to.

    `writer` names this process in the tallies.
    """

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, *, writer: str) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()
        self._following_up: asyncio.Task[None] | None = None
        self._more = False

    def carry_on(self, followed: Followed) -> None:
        """Put released jobs on the queue, and do the followups. Nobody waits for this."""
        if followed.released:
            task = asyncio.create_task(self._dispatcher.put_released(followed.released), name="dispatch-released")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if followed.left:
            self._more = True
            if self._following_up is None or self._following_up.done():  # a task that was cancelled before it began
                self._following_up = asyncio.create_task(self._follow_up(), name="followups")

    async def settled(self) -> None:
        """Wait until this process has carried on everything."""
        while doing := [task for task in (*self._tasks, self._following_up) if task is not None and not task.done()]:
            await asyncio.wait(doing)

    async def follow_up_for(self, longest_s: float) -> bool:
        """Do waiting followups for `longest_s`; return whether some are left."""
        until = time.monotonic() + longest_s
        while True:
            record = partial(record_followups, at=agreed_time.now(), writer=self._writer)
            try:
                followed = await self._ledger.database.run(record)
            except IntegrityError:  # a new job has just taken a unique key: the next look sees it
                followed = Followed(left=True)
            await self._dispatcher.put_released(followed.released)
            if not followed.left or time.monotonic() > until:
                return followed.left

    async def _follow_up(self) -> None:
        try:
            while self._more:
                self._more = False
                self._more = await self.follow_up_for(1.0) or self._more
        except LedgerUnavailable as error:
            log.warning("followups_left", error=str(error.__cause__), remedy="the sweep follows up")
        finally:
            self._following_up = None
