"""A purge goes through the ledger and through what each feature keeps."""

from datetime import UTC, datetime, timedelta

from service.feature import Feature, Purge
from service.ledger.ledger import Ledger
from service.retention import Retention, kept_until
from service.settings import Settings


async def test_each_feature_is_asked_and_its_counts_are_among_the_ledgers(ledger: Ledger) -> None:
    asked = []

    async def purge_toys(settings: Settings, ledger: Ledger, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
        asked.append((older_than, dry_run))
        return {"toys": 3}

    features = [Feature("plain"), Feature("toys", purge=Purge(by_age=purge_toys))]
    retention = Retention(Settings(retention_days=7), ledger, features)
    assert retention.retention == timedelta(days=7)
    deleted = await retention.purge(timedelta(days=1), dry_run=True)
    assert deleted["toys"] == 3
    assert not any(count for name, count in deleted.items() if name != "toys")
    assert {"jobs", "attempts", "flows", "ticks", "operations", "workers", "idempotency_keys"} < set(deleted)
    assert asked == [(timedelta(days=1), True)]


def test_a_job_is_kept_by_its_outcome() -> None:
    settings, ended = Settings(retention_days=7, retention_failed_days=90), datetime(2026, 1, 1, tzinfo=UTC)
    assert kept_until(settings, "succeeded", ended) == ended + timedelta(days=7)
    assert kept_until(settings, "failed", ended) == ended + timedelta(days=90)
    assert kept_until(Settings(retention_days=7), "failed", ended) == ended + timedelta(days=7)
