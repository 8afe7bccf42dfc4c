"""The chores of the sweep's leader: for each outbox a relay that waits for rows, and a check of how it is doing.

Each outbox has its own chores, so that one whose database is away or silent does not hold up the others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import make_url

from service import agreed_time
from service.chore import Chore
from service.errors import StartRefused
from service.feature import ChoreTools
from service.ledger.database import Database
from service.outbox.file_watch import FileWatch
from service.outbox.listener import Listener
from service.outbox.making import Maker
from service.outbox.places import LEDGER, Place, places_of
from service.outbox.reads import Backlog, backlog, may_be_emptied, missing_columns
from service.outbox.records import record_standing
from service.outbox.relay import OutboxAway, Relay, away

log = structlog.get_logger(__name__)

# Rows are in the ledger within 250 ms.
LOOK_EVERY_S = 0.1
# Where writes are announced or watched, this finds the rows that were missed.
_SLOW_LOOK_EVERY_S = 1.0
_TRY_AGAIN_S = 1.0
_COUNT_EVERY_S = 5.0
_STATEMENT_LIMIT_S = 5
_JUDGED_WITHIN_S = 3.0


@asynccontextmanager
async def open_relays(tools: ChoreTools) -> AsyncIterator[Sequence[Chore]]:
    """Open all outboxes. Raises `StartRefused` for a database that answers but has no outbox."""
    async with AsyncExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="outbox"))
        maker = Maker(tools)
        chores = []
        for place in places_of(tools.settings):
            database = await _open(place, tools, stack)
            keeper = Keeper(place, database, Relay(database, maker, tools.enqueue, thread), tools)
            stack.push_async_callback(keeper.close)
            chores += keeper.chores()
        yield chores


async def _open(place: Place, tools: ChoreTools, stack: AsyncExitStack) -> Database:
    if place.url is None:
        return tools.ledger.database
    database = Database.open_guest(place.url, limit_s=_STATEMENT_LIMIT_S)
    stack.push_async_callback(database.close)
    await check(place, database)
    return database


async def check(place: Place, database: Database) -> None:
    """Raise `StartRefused` if the database answers but has no outbox that can be emptied."""
    try:
        with away():
            async with asyncio.timeout(_JUDGED_WITHIN_S), database.connect() as connection:
                missing = await connection.run_sync(missing_columns)
                may_be_emptied_here = not missing and await connection.run_sync(may_be_emptied)
    except OutboxAway as error:
        log.warning("outbox_away", outbox=place.name, error=str(error), remedy="its rows wait until it is back")
        return
    if missing:
        raise StartRefused(
            f"the database {place.name}, which POSTLUDE_OUTBOX_URLS names, has no outbox: the table postlude_outbox"
            f" lacks {', '.join(sorted(missing))}. Run there what"
            f" `postlude outbox ddl --dialect {database.dialect}` prints."
        )
    if not may_be_emptied_here:
        raise StartRefused(
            f"the user in POSTLUDE_OUTBOX_URLS may not empty the outbox of {place.name}: grant it SELECT, UPDATE and"
            " DELETE on postlude_outbox."
        )


class Keeper:
    """Keeps one outbox empty, and knows how it is doing."""

    def __init__(self, place: Place, database: Database, relay: Relay, tools: ChoreTools) -> None:
        self._name = place.name
        self._database = database
        self._relay = relay
        self._tools = tools
        self._bell = asyncio.Event()
        self._listener, self._file = None, None
        if database.dialect == "postgresql":
            self._listener = Listener(database, self._bell, place.name)
        else:
            self._file = FileWatch(Path(make_url(place.url or tools.settings.sqlalchemy_url).database or ""))
        self._listening: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self._problem_since: datetime | None = None
        self._backlog = Backlog(0, None)
        self._has_more = False
        self._looks_at = 0.0
        self._noted: object = None

    def chores(self) -> list[Chore]:
        """Return what a worker does for this outbox."""
        chores = [Chore(f"outbox {self._name}", 0.0, self.keep)]
        return chores if self._name == LEDGER else [*chores, Chore(f"count {self._name}", _COUNT_EVERY_S, self.count)]

    async def close(self) -> None:
        """Stop listening, and close the file."""
        if self._file is not None:
            self._file.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None

    async def keep(self) -> bool:
        """Move rows, if this worker leads and it is time to look. Returns whether there are more.

        Never waits for long, because a stopping worker waits for this.
        """
        if not self._tools.leads():
            self._relay.begin_anew()
            await self.close()
            await asyncio.sleep(LOOK_EVERY_S)
            return False
        self._listen()
        if not self._has_more and not await self._is_time():
            return False
        try:
            self._has_more = await self._relay.relay()
        except OutboxAway as error:
            self._note_problem(str(error))
            self._has_more = False
            self._relay.begin_anew()
            await asyncio.sleep(_TRY_AGAIN_S)
        else:
            self._note_problem(None)
        return self._has_more

    def _listen(self) -> None:
        if self._listener is not None and self._listening is None:
            self._listening = asyncio.create_task(self._listener.listen(), name=f"listen {self._name}")

    async def _is_time(self) -> bool:
        """Wait for a moment; return whether there may be rows: they were announced, or nobody can tell."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), LOOK_EVERY_S)
        is_time = self._bell.is_set() or time.monotonic() >= self._looks_at
        self._bell.clear()
        if self._file is not None:
            if is_time:
                self._file.close()  # another file may have taken its place
            is_time = self._file.has_changed() or is_time
        elif self._listener is not None and not self._listener.hears:
            is_time = True
        if is_time:
            self._looks_at = time.monotonic() + _SLOW_LOOK_EVERY_S
        return is_time

    def _note_problem(self, problem: str | None) -> None:
        """Remember what is wrong; log it once when it begins, and once when it is over."""
        if problem and not self._problem:
            self._problem_since = agreed_time.now()
            log.warning("outbox_away", outbox=self._name, error=problem, remedy="its rows wait until it is back")
        elif self._problem and not problem:
            log.info("outbox_back", outbox=self._name)
        self._problem = problem

    async def count(self) -> None:
        """Let the ledger know how an outbox in another database is doing."""
        if not self._tools.leads():
            self._noted = None
            return
        with suppress(OutboxAway), away():  # `keep` meets it too, and reports it
            async with self._database.connect() as connection:
                self._backlog = await backlog(connection)
        standing = (self._name, *self._backlog, self._problem, self._problem_since if self._problem else None)
        if standing != self._noted:
            await self._tools.ledger.database.run(lambda connection: record_standing(connection, *standing))
            self._noted = standing
