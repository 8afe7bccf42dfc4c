"""How outboxes are doing is in /metrics, and in /readyz where rows are not taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from service.ledger.ledger import Ledger
from service.outbox.records import record_standing
from service.settings import Settings
from tests.service.outbox.writing_rows import committed, transaction
from tests.support.running import running_api

SHOP = "db/shop"


@pytest.fixture
def watched(settings: Settings) -> Settings:
    return Settings(**settings.model_dump() | {"outbox_urls": "postgresql://app:s3cr3t@db/shop"})


async def gauges(api: httpx.AsyncClient) -> dict[str, float]:
    lines = (await api.get("/metrics")).text.splitlines()
    shown = [line.rpartition(" ") for line in lines if line.startswith("postlude_outbox")]
    return {name: float(value) for name, _, value in shown}


async def complaint(api: httpx.AsyncClient) -> str | None:
    told: str | None = (await api.get("/readyz")).json()["checks"].get("outbox")
    return told


async def test_rows_and_their_age_are_gauges(watched: Settings, ledger: Ledger, database_url: str) -> None:
    async with running_api(watched) as api:
        assert set((await gauges(api)).values()) == {0.0}
        assert await complaint(api) is None
        await committed(database_url, "update_stats")
        await committed(database_url, "update_stats")
        ago = datetime.now(UTC) - timedelta(seconds=90)
        moment: Any = ago if database_url.startswith("postgresql") else ago.isoformat()
        async with transaction(database_url) as session:
            await session.execute(text("UPDATE postlude_outbox SET created_at = :at"), {"at": moment})
        found = await gauges(api)
        assert found['postlude_outbox_rows{outbox="ledger"}'] == 2
        assert 90 <= found['postlude_outbox_age_seconds{outbox="ledger"}'] < 120
        assert "ledger has a row that has waited for 9" in (await complaint(api) or "")


async def test_what_the_leader_has_noted_of_others_is_told(watched: Settings, ledger: Ledger) -> None:
    ago = datetime.now(UTC) - timedelta(seconds=70)
    async with running_api(watched) as api:
        await ledger.database.run(lambda connection: record_standing(connection, SHOP, 7, ago, None, None))
        assert (await gauges(api))[f'postlude_outbox_rows{{outbox="{SHOP}"}}'] == 7
        assert "db/shop has a row that has waited for 7" in (await complaint(api) or "")
        await ledger.database.run(lambda connection: record_standing(connection, SHOP, 7, ago, "no route", ago))
        told = await complaint(api) or ""
        assert "db/shop has been away since" in told
        assert "(no route)" in told
        assert (await api.get("/readyz")).json()["status"] == "degraded"
        # Somebody has taken it out of the settings.
        await ledger.database.run(lambda connection: record_standing(connection, "elsewhere", 7, ago, None, None))
        assert "elsewhere" not in str(await gauges(api))
