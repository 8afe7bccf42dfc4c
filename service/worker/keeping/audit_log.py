"""Logs the jobs that nothing accounts for, if there are any."""

import structlog

from service.ledger.ledger import Ledger
from service.ledger.reads.audit import Unaccounted, count_unaccounted, find_unaccounted

log = structlog.get_logger(__name__)

_SHOWN = 20


class AuditLog:
    """Audits the ledger; logs each change once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: tuple[int, set[Unaccounted]] = (0, set())

    async def look(self) -> None:
        """Audit, and log what has changed since the last time."""
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
