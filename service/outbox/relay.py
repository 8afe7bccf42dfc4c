"""The relay: moves the rows of one outbox into the ledger. However many relays run at once, each row makes one job.

The id of a row is the id of its job, and the same id with the same request is the same job: so a row is recorded
first and deleted after that commit, and a relay that dies in between, or is frozen and goes on beside another, records
nothing twice. No cursor outlives a look: rows of a transaction that commits late, with ids
smaller than others, are found by the next look.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.errors import Conflict, FlowUnknown, IdTaken, LedgerUnavailable, ParentUnknown, PostludeError
from service.ledger.database import Database
from service.ledger.models import Enqueued, NewJob
from service.outbox.making import Made, Maker
from service.outbox.reads import Row, RowId, next_rows, sizes
from service.outbox.records import delete_rows
from service.requests.following import refuse_unknown

log = structlog.get_logger(__name__)

BATCH = 1_000
_BYTES_AT_ONCE = 8 * 1024 * 1024
_ON_THE_LOOP = 32 * 1024  # bytes that may be validated on the loop, which others wait for
# How long a row waits for what it names, or for what is in its way, before it becomes a failed job.
PATIENCE_S = 60.0
# Rows recorded but not deleted, because others have them locked. Beyond this, no more rows are taken.
_MOST_LEFT = 20 * BATCH
_SHOWN = 10

Enqueue = Callable[[Sequence[NewJob]], Awaitable[Enqueued]]


class OutboxAway(Exception):
    """The outbox's database does not answer, or answers wrongly. The message says why."""


class Relay:
    """Moves the rows of the outbox in `database`."""

    def __init__(self, database: Database, maker: Maker, enqueue: Enqueue, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._maker = maker
        self._enqueue = enqueue
        self._thread = thread
        self._beyond: str | None = None
        self._seen: set[RowId] = set()  # in this round, among the ids below
        self._recorded: set[RowId] = set()
        self._waiting_since: dict[RowId, float] = {}

    async def relay(self) -> bool:
        """Move the next rows; return whether there are more. Raises `OutboxAway` and `LedgerUnavailable`.

        After the last row the next call starts again with the first: with rows that are left, and new ones.
        """
        rows, are_last = await self._next_rows()
        left = [row for row in rows if row.id not in self._recorded]
        if left and len(self._recorded) < _MOST_LEFT:
            await self._record(await self._made_of(left))
        await self._delete(self._recorded.intersection(row.id for row in rows))
        self._seen.update(row.id for row in rows if row.id in self._recorded or row.id in self._waiting_since)
        last = rows[-1].id if rows else None
        self._beyond = last if isinstance(last, str) and not are_last else None
        if are_last:
            self._forget_what_is_gone()
        return not are_last

    def begin_anew(self) -> None:
        """Start again with the first row, relying only on the databases: another worker may have led meanwhile."""
        self._beyond = None
        self._seen.clear()

    def _forget_what_is_gone(self) -> None:
        self._recorded &= self._seen
        self._waiting_since = {row_id: at for row_id, at in self._waiting_since.items() if row_id in self._seen}
        self._seen.clear()

    async def _next_rows(self) -> tuple[list[Row], bool]:
        """Read the next rows, as many as one transaction should hold; return whether they are the last."""
        with away():
            async with self._database.connect() as connection:
                found = await sizes(connection, self._beyond, BATCH)
                fit = _as_many_as_fit(found)
                rows = await next_rows(connection, self._beyond, fit) if found else []
                return rows, fit == len(found) < BATCH

    async def _made_of(self, rows: Sequence[Row]) -> list[Made]:
        if sum(row.size for row in rows) <= _ON_THE_LOOP:
            return self._maker.make(rows)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._maker.make, rows)

    async def _record(self, made: Sequence[Made]) -> None:
        """Record jobs together or, if one is refused, one by one. Jobs that come after others go in order."""
        free = [one for one in made if not one.job.after]
        if free and not await self._record_together(free):
            done = await asyncio.gather(*map(self._record_one, free), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error
        for one in made:
            if one.job.after:
                await self._record_one(one)

    async def _record_together(self, made: Sequence[Made]) -> bool:
        try:
            enqueued = await self._enqueue([one.job for one in made])
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, each is tried by itself
            log.debug("outbox_rows_recorded_singly", rows=len(made), error=repr(error))
            return False
        if enqueued.unknown:
            return False
        self._note(made)
        return True

    async def _record_one(self, one: Made) -> None:
        try:
            enqueued = await self._enqueue([one.job])
            refuse_unknown([one.job], enqueued.unknown)
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the failed job reports it
            await self._wait_or_give_up(one, error)
        else:
            self._note([one])

    async def _wait_or_give_up(self, one: Made, error: Exception) -> None:
        since = self._waiting_since.setdefault(one.row.id, time.monotonic())
        if _may_pass(error) and time.monotonic() < since + PATIENCE_S:
            return
        refused = self._maker.refused(one.row, error)
        await self._enqueue([refused.job])
        self._note([refused])

    def _note(self, made: Sequence[Made]) -> None:
        self._recorded.update(one.row.id for one in made)
        refused = [one for one in made if one.refusal is not None]
        if refused:
            log.warning(
                "outbox_rows_refused",
                rows=len(refused),
                job_ids=[one.job.id for one in refused[:_SHOWN]],
                reason=refused[0].job.error_message,
                remedy="they are failed jobs, each with its reason",
            )

    async def _delete(self, ids: set[RowId]) -> None:
        if ids:
            with away():
                self._recorded -= await self._database.run(partial(delete_rows, ids=list(ids)))


@contextmanager
def away() -> Iterator[None]:
    """Turn errors of the outbox's database into `OutboxAway`, to tell them from errors of the ledger's."""
    try:
        yield
    except (LedgerUnavailable, SQLAlchemyError, OSError, TimeoutError) as error:
        cause = error.__cause__ if isinstance(error, LedgerUnavailable) and error.__cause__ else error
        words = str(getattr(cause, "orig", cause)).partition("\n")[0]
        raise OutboxAway(words or type(cause).__name__) from error


def _may_pass(error: Exception) -> bool:
    """Whether waiting may help: a job may appear, a unique key may become free, or our own fault may be mended."""
    if isinstance(error, IdTaken):
        return False
    return isinstance(error, Conflict | ParentUnknown | FlowUnknown) or not isinstance(error, PostludeError)


def _as_many_as_fit(sizes: Sequence[int]) -> int:
    """Return how many of the next rows to read at once: at least one."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > _BYTES_AT_ONCE:
            return max(1, number)
    return len(sizes)
