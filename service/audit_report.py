"""The audit of the whole ledger, for people: what `postlude audit` prints."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.ledger import Ledger
from service.ledger.reads import audit
from service.ledger.reads.attempt_audit import misnumbered
from service.ledger.reads.audit import Sweeping, Unaccounted
from service.ledger.reads.counts import count_by_state
from service.ledger.reads.workers import living_workers
from service.words import counted

_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class Report:
    """What the audit found. `unaccounted` holds at most `_SHOWN` of the `total`."""

    at: datetime
    states: Mapping[str, int]
    workers: int
    sweeping: Sweeping
    judged: bool
    total: int
    unaccounted: tuple[Unaccounted, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's own types."""
        swept_at = self.sweeping.swept_at
        return {
            "at": self.at.isoformat(),
            "states": dict(self.states),
            "workers": self.workers,
            "swept_at": swept_at.isoformat() if swept_at else None,
            "judged": self.judged,
            "unaccounted": self.total,
            "jobs": [asdict(one) for one in self.unaccounted],
        }

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of text."""
        yield counted(sum(self.states.values()), "job")
        yield from (f"  {state:<10} {count}" for state, count in self.states.items())
        yield f"{counted(self.workers, 'living worker')}; {self._sweep()}"
        if not self.judged:
            yield "Due jobs and jobs of dead workers are not judged: that takes a whole minute of sweeping."
        yield f"{self.total} unaccounted"
        yield from (f"  {one.job_id}  {one.reason}" for one in self.unaccounted)
        if self.total > len(self.unaccounted):
            yield f"  and {self.total - len(self.unaccounted)} more"

    def _sweep(self) -> str:
        if self.sweeping.swept_at is None:
            return "the sweep is behind, or Redis is away"
        return f"last whole sweep {(self.at - self.sweeping.swept_at).total_seconds():.0f} s ago"


async def make_report(ledger: Ledger) -> Report:
    """Audit the whole ledger; reads only. Raises `LedgerUnavailable`."""
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        sweeping = await audit.sweeping(connection)
        found = await _unaccounted(connection, now)
        return Report(
            at=now,
            states=await count_by_state(connection),
            workers=len(await living_workers(connection, now)),
            sweeping=sweeping,
            judged=sweeping.had_the_chance(now),
            total=len(found),
            unaccounted=tuple(Unaccounted(*item) for item in list(found.items())[:_SHOWN]),
        )


async def _unaccounted(connection: AsyncConnection, now: datetime) -> dict[str, str]:
    """Return the reason for each id. Of two reasons it keeps the first, from which the second follows."""
    count = await audit.count_unaccounted(connection, now)
    found = {one.job_id: one.reason for one in await audit.find_unaccounted(connection, now, count)} if count else {}
    async for one in misnumbered(connection):
        found.setdefault(one.job_id, one.reason)
    return found
