"""Data past its retention is purged, from the ledger and from every feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.feature import Feature
from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.settings import Settings
from service.trail.purge import purge_trail


def kept_until(settings: Settings, state: str, finished_at: datetime) -> datetime:
    """Return when an ended job may be deleted; the next `cleanup` after that does it."""
    return finished_at + (settings.retention_failed if state == State.FAILED else settings.retention)


@dataclass(frozen=True)
class Retention:
    """The object behind `ctx.ledger`; see `jobs.kit.context.RetentionApi`."""

    settings: Settings
    ledger: Ledger
    features: Sequence[Feature]

    @property
    def retention(self) -> timedelta:
        return self.settings.retention

    @property
    def retention_failed(self) -> timedelta:
        return self.settings.retention_failed

    async def purge(
        self, older_than: timedelta, *, failed_older_than: timedelta | None = None, dry_run: bool
    ) -> dict[str, int]:
        """Purge the ledger, then the features in their order, and the trail, which has an age of its own."""
        deleted = await self.ledger.purge(older_than, failed_older_than=failed_older_than, dry_run=dry_run)
        for feature in self.features:
            if (by_age := feature.purge.by_age) is not None:
                deleted |= await by_age(self.settings, self.ledger, older_than, dry_run=dry_run)
        kept_for = timedelta(days=self.settings.retention_trail_days)
        deleted["trail"] = await purge_trail(self.ledger.database, kept_for=kept_for, dry_run=dry_run)
        return deleted
