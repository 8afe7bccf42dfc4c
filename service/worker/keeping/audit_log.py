"""Says in the log which jobs nobody answers for, when there are any."""

import time

import structlog

from service.ledger.ledger import Ledger
from service.ledger.reads.audit import Unaccounted, count_unaccounted, find_unaccounted

log = structlog.get_logger(__name__)

_EVERY_S = 5.0
_SHOWN = 20


class AuditLog:
    """Audits the ledger every few seconds; tells of each change once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: tuple[int, set[Unaccounted]] = (0, set())
        self._next = 0.0

    async def look(self) -> None:
        """Audit, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
            total = await count_unaccounted(connection, now)
            found = await find_unaccounted(connection, now, _SHOWN) if total else []
        if (total, set(found)) != self._told:
            self._tell(total, found)
        self._told = (total, set(found))

    def _tell(self, total: int, found: list[Unaccounted]) -> None:
        if not total:
            log.info("unaccounted_jobs_over")
            return
        shown = {one.job_id: one.reason for one in found}
        log.error("unaccounted_jobs", jobs=total, reasons=shown, remedy="`postlude audit` shows all of them")
