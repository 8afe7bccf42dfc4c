"""Where apps are, as `call_app` asks."""

import asyncio
import base64
from datetime import timedelta
from functools import partial

import pytest
from pydantic import SecretStr

from jobs.app.apps import Apps, NotReadable
from service.apps.capability import FRESH_FOR_S, LedgerApps, open_apps
from service.apps.reads import ways_to
from service.apps.records import record_app
from service.errors import SecretUnreadable
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.vault import Vault
from tests.support.running import eventually


async def register(ledger: Ledger, url: str) -> None:
    await ledger.database.run(
        lambda connection: record_app(connection, "shop", url=url, secret="s", is_trusted=lambda _: True)
    )


async def test_calls_of_the_time_in_which_a_read_is_fresh_share_it(
    ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = LedgerApps._read

    async def counted(self: LedgerApps, names: list[str]) -> object:
        nonlocal reads
        reads += 1
        return await read(self, names)

    monkeypatch.setattr(LedgerApps, "_read", counted)
    monkeypatch.setattr("service.apps.capability.FRESH_FOR_S", 3600.0)
    await register(ledger, "http://a")
    async with open_apps(settings, ledger) as capabilities:
        apps: LedgerApps = capabilities[Apps]
        found = await asyncio.gather(*(apps.find("shop") for _ in range(1_000)))
        again = await apps.find("shop")
        assert {app.url for app in found if app is not None} == {"http://a"}
        assert reads == 1
        assert again is found[0]
        assert await apps.find("other") is None


async def test_a_change_holds_within_two_seconds(ledger: Ledger, settings: Settings) -> None:
    assert FRESH_FOR_S < 2
    await register(ledger, "http://a")
    async with open_apps(settings, ledger) as capabilities:
        apps: LedgerApps = capabilities[Apps]
        assert await apps.find("shop") is not None
        await register(ledger, "http://b")

        async def has_moved() -> bool:
            app = await apps.find("shop")
            return app is not None and app.url == "http://b"

        await eventually(has_moved)


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


async def test_secrets_of_apps_are_sealed_and_one_whose_key_is_gone_fails_its_own_calls_alone(
    database_url: str, settings: Settings
) -> None:
    old, new = (SecretStr(base64.b64encode(bytes([number]) * 32).decode()) for number in (1, 2))
    for name, key in (("shop", old), ("desk", new)):
        async with Ledger.open(database_url, retention=timedelta(days=1), vault=Vault([key])) as ledger:
            record = partial(record_app, name=name, url="http://a", secret=f"of {name}", is_trusted=lambda _: True)
            await ledger.database.run(record)
            assert await ledger.database.run(record) == "same"
            async with ledger.read() as connection:
                assert f"of {name}" not in (await ways_to(connection, [name]))[name][1]
    opening = Ledger.open(database_url, retention=timedelta(days=1), vault=Vault([new]))
    async with opening as ledger, open_apps(settings, ledger) as capabilities:
        found = await capabilities[Apps].find("desk")
        assert found is not None
        assert found.secret == "of desk"
        with pytest.raises(SecretUnreadable, match=str(Vault([old]).key_id)):
            await capabilities[Apps].find("shop")
