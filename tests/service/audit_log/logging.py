"""Writes entries, and reads them back."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

from jobs.audit.kind import written
from jobs.audit.log import Entry, Receipt
from service.audit_log.capability import LedgerAuditLog
from service.audit_log.chain import Keys
from service.audit_log.tables import audit_log
from service.ledger.ledger import Ledger

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = SecretStr(base64.b64encode(b"k" * 32).decode())
OTHER_KEY = SecretStr(base64.b64encode(b"o" * 32).decode())


def entry(
    job_id: str, data: Any = None, *, actor: str = "ann", action: str = "paid", target: str = "invoice:1"
) -> Entry:
    return Entry(job_id, AT, actor, action, target, None, None if data is None else written(data))


async def say(ledger: Ledger, *job_ids: str, keys: Keys | None = None) -> list[Receipt]:
    """Write an entry for each job, one after the other."""
    log = LedgerAuditLog(ledger.database, keys or Keys())
    return [await log.write(entry(job_id, {"n": number})) for number, job_id in enumerate(job_ids)]


async def rows(ledger: Ledger) -> Sequence[Any]:
    async with ledger.read() as connection:
        return (await connection.execute(select(audit_log).order_by(audit_log.c.seq))).all()
