"""What `write_audit` needs: the audit log in the ledger's database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from jobs.audit.log import AuditLog, Entry, Receipt
from service.audit_log.chain import Keys
from service.audit_log.records import record_entries
from service.feature import Capabilities
from service.ledger.database import Database
from service.ledger.group_commit import GroupCommit
from service.ledger.ledger import Ledger
from service.ledger.outages import is_data_error
from service.settings import Settings


class LedgerAuditLog:
    """See `jobs.audit.log.AuditLog`. Entries of jobs that run at the same time share a transaction."""

    def __init__(self, database: Database, keys: Keys) -> None:
        # Not among the ledger's own writes: it may have to wait for the head, which another worker has locked.
        self._group_commit = GroupCommit(database.transact, is_data_error=is_data_error)
        self._record = partial(record_entries, keys=keys)

    async def write(self, entry: Entry) -> Receipt:
        return (await self._group_commit.write(self._record, [entry]))[0]


@asynccontextmanager
async def open_audit_log(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the log over the ledger's database."""
    yield {AuditLog: LedgerAuditLog(ledger.database, Keys(settings.audit_log_keys))}
