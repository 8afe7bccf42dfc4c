"""What is past its retention is purged: from the ledger, and from what each feature keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from service.feature import Feature
from service.ledger.ledger import Ledger
from service.settings import Settings


@dataclass(frozen=True)
class Retention:
    """What `ctx.ledger` is; see `jobs.kit.context.RetentionApi`."""

    settings: Settings
    ledger: Ledger
    features: Sequence[Feature]

    @property
    def retention(self) -> timedelta:
        return self.settings.retention

    async def purge(self, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
        """Purge the ledger, and after it the features in their order."""
        deleted = await self.ledger.purge(older_than, dry_run=dry_run)
        for feature in self.features:
            if (by_age := feature.purge.by_age) is not None:
                deleted |= await by_age(self.settings, self.ledger, older_than, dry_run=dry_run)
        return deleted
