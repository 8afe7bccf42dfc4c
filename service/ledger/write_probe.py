"""Tries a write: a database that can be read may be a standby or full by now, or may have revoked our rights."""

import asyncio
import time

from service.agreed_time import now
from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.records.probed import record_probe

_EVERY_S = 5.0


class WriteProbe:
    """Writes the same row each time, at most once in some seconds however often it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._trying: asyncio.Task[LedgerUnavailable | None] | None = None
        self._next = 0.0

    async def check(self) -> None:
        """Raise `LedgerUnavailable` if the latest try failed; wait for a try that is under way."""
        if self._trying is None or (self._trying.done() and time.monotonic() >= self._next):
            self._next = time.monotonic() + _EVERY_S
            self._trying = asyncio.create_task(self._try(), name="write-probe")
        # Shielded: a caller that gives up must not cancel a write that others wait for.
        if (error := await asyncio.shield(self._trying)) is not None:
            raise error

    async def close(self) -> None:
        """End a try that is under way."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait({self._trying})

    async def _try(self) -> LedgerUnavailable | None:
        try:
            await self._database.run(lambda connection: record_probe(connection, now()))
        except LedgerUnavailable as error:
            return error
        return None
