"""One worker leads the sweep: the holder of its lease. A frozen or killed leader loses the lease within `LEASE`."""

from datetime import timedelta

import structlog
from sqlalchemy import Connection

from service.errors import LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.reads.sweep_lease import read_lease
from service.ledger.records.sweep_lease import record_behind, record_leader, record_released, record_swept

log = structlog.get_logger(__name__)

# Renewed only when less than this is left, so that an idle leader writes every three seconds and not in every pass.
_RENEW_BELOW = timedelta(seconds=7)


class Leadership:
    """Holds the sweep's lease for the process `me`, or finds that another process holds it."""

    def __init__(self, ledger: Ledger, me: str) -> None:
        self._ledger = ledger
        self._me = me
        self._leads = False
        self._swept: str | None = None
        self._epoch: str | None = None
        self._is_behind = False

    @property
    def leads(self) -> bool:
        """Whether this process was the leader at its last look."""
        return self._leads

    async def is_held(self) -> bool:
        """Whether this process leads now; takes a free lease. Costs a process that does not lead one read."""
        async with self._ledger.read() as connection:
            lease = await read_lease(connection)
        self._epoch = lease.epoch if lease else None
        if lease is None or lease.is_over or (lease.leader == self._me and lease.left < _RENEW_BELOW):
            leads = await self._take()
        else:
            leads = lease.leader == self._me
        if leads != self._leads:
            log.info("sweep_leader" if leads else "sweep_left_to_another", process=self._me)
        self._leads = leads
        return leads

    def swept(self, epoch: str) -> None:
        """Note that a pass has left nothing to mend; the ledger is told when the lease is renewed."""
        self._swept, self._is_behind = epoch, False

    async def note_epoch(self, epoch: str | None) -> None:
        """Note the queue's current epoch; None: Redis does not answer.

        The ledger is told at once about an epoch without a whole sweep, because no job can be judged by it.
        """
        if self._is_behind or (epoch is not None and epoch in (self._epoch, self._swept)):
            return
        self._swept, self._is_behind = None, True
        await self._ledger.database.run(lambda connection: record_behind(connection, self._me))

    async def release(self) -> None:
        """Let another worker lead at once."""
        if not self._leads:
            return
        self._leads = False
        try:
            await self._ledger.database.run(
                lambda connection: record_released(connection, self._me, now_by(connection))
            )
        except LedgerUnavailable as error:
            log.warning("sweep_not_released", error=str(error.__cause__), remedy="its lease runs out by itself")

    async def _take(self) -> bool:
        leads = await self._ledger.database.run(self._record_leader)
        self._epoch, self._swept = self._swept or self._epoch, None
        return leads

    def _record_leader(self, connection: Connection) -> bool:
        now = now_by(connection)
        leads = record_leader(connection, self._me, now)
        if leads and self._swept is not None:
            record_swept(connection, self._me, self._swept, now)
        return leads
