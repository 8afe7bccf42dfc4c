"""What `write_audit` needs of the service."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to write. `origin` and `data` are JSON, as text."""

    job_id: str
    at: datetime
    actor: str
    action: str
    target: str | None
    origin: str | None
    data: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry is in the log, and the hash that vouches for it and for all before it."""

    seq: int
    hash: str


class AuditLog(Protocol):
    """A log that only grows."""

    async def write(self, entry: Entry) -> Receipt:
        """Append an entry, once for each job; if the job's entry exists, return its receipt."""
        ...
