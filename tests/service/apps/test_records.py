"""Apps in the ledger's database."""

import asyncio

from service.apps.reads import find_app, list_apps, ways_to
from service.apps.records import Registered, record_app, record_app_deleted
from service.ledger.ledger import Ledger


async def register(ledger: Ledger, name: str, url: str = "http://a", secret: str = "s", trusts: str = "") -> Registered:
    return await ledger.database.run(
        lambda connection: record_app(connection, name, url=url, secret=secret, is_trusted=lambda kept: kept == trusts)
    )


async def test_a_registration_that_is_repeated_changes_nothing(ledger: Ledger) -> None:
    assert await register(ledger, "shop") is Registered.CREATED
    assert await register(ledger, "shop", trusts="s") is Registered.SAME
    assert await register(ledger, "shop", "http://b", "t", trusts="s") is Registered.CHANGED
    assert await register(ledger, "shop", "http://c", "u", trusts="s") is Registered.REFUSED
    async with ledger.read() as connection:
        assert await ways_to(connection, ["shop", "other"]) == {"shop": ("http://b", "t")}
        assert (await find_app(connection, "other")) is None
        [shown] = await list_apps(connection, limit=10)
    assert shown.updated_at > shown.created_at


async def test_of_many_who_register_at_once_one_creates_it(ledger: Ledger) -> None:
    results = await asyncio.gather(*(register(ledger, "shop", secret=f"s{n}") for n in range(8)))
    assert sorted(results) == [Registered.CREATED] + [Registered.REFUSED] * 7


async def test_who_is_forgotten_may_register_again(ledger: Ledger) -> None:
    await register(ledger, "shop")
    assert await ledger.database.run(lambda connection: record_app_deleted(connection, "shop"))
    assert not await ledger.database.run(lambda connection: record_app_deleted(connection, "shop"))
    assert await register(ledger, "shop", secret="t") is Registered.CREATED
