"""Where apps are, as `call_app` asks."""

import asyncio
from datetime import timedelta

import pytest

from jobs.app.apps import Apps, NotReadable
from service.apps.capability import LedgerApps, open_apps
from service.apps.records import record_app
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.support.running import eventually


async def register(ledger: Ledger, url: str) -> None:
    await ledger.database.run(
        lambda connection: record_app(connection, "shop", url=url, secret="s", is_trusted=lambda _: True)
    )


async def test_a_thousand_calls_of_a_second_share_one_read_and_a_change_holds_within_two(
    ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = LedgerApps._read

    async def counted(self: LedgerApps, names: list[str]) -> object:
        nonlocal reads
        reads += 1
        return await read(self, names)

    monkeypatch.setattr(LedgerApps, "_read", counted)
    await register(ledger, "http://a")
    async with open_apps(settings, ledger) as capabilities:
        apps: LedgerApps = capabilities[Apps]
        found = await asyncio.gather(*(apps.find("shop") for _ in range(1_000)))
        again = await apps.find("shop")
        assert {app.url for app in found if app is not None} == {"http://a"}
        assert reads == 1
        assert await apps.find("other") is None

        await register(ledger, "http://b")
        began = asyncio.get_running_loop().time()

        async def has_moved() -> bool:
            app = await apps.find("shop")
            return app is not None and app.url == "http://b"

        await eventually(has_moved, 2)
        assert asyncio.get_running_loop().time() - began < 2
        assert again is found[0]


async def test_an_app_that_has_not_changed_stays_the_same_object(ledger: Ledger, settings: Settings) -> None:
    await register(ledger, "http://a")
    async with open_apps(settings, ledger) as capabilities:
        apps: LedgerApps = capabilities[Apps]
        before = await apps.find("shop")
        apps._reads.forget()
        assert await apps.find("shop") is before


async def test_a_ledger_that_is_away_is_not_taken_for_an_app_that_there_is_not(
    settings: Settings, database_url: str
) -> None:
    nowhere = "sqlite+aiosqlite:////no/such/folder/postlude.db"
    async with Ledger.open(nowhere, retention=timedelta(days=1)) as ledger, open_apps(settings, ledger) as found:
        with pytest.raises(NotReadable):
            await found[Apps].find("shop")
