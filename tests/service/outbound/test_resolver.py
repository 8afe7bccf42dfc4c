import asyncio
import threading
from ipaddress import ip_address

import pytest

from service.outbound.resolver import ThreadedResolver


async def test_system_resolver_gives_every_address_without_blocking_the_loop() -> None:
    resolver = ThreadedResolver(2)
    try:
        assert ip_address("127.0.0.1") in await resolver("localhost", 80)
    finally:
        resolver.close()


async def test_name_whose_servers_are_silent_holds_one_thread_and_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "silent.example":
            silent.wait(60)
        return ["192.0.2.1"]

    monkeypatch.setattr("service.outbound.resolver._getaddrinfo", getaddrinfo)
    resolver = ThreadedResolver(2)
    try:
        waiting = [asyncio.create_task(resolver("silent.example", 80)) for _ in range(5)]
        await asyncio.sleep(0)
        assert await resolver("other.example", 80) == [ip_address("192.0.2.1")]
        waiting[0].cancel()
        silent.set()
        assert await asyncio.gather(*waiting[1:]) == [[ip_address("192.0.2.1")]] * 4
        assert asked.count("silent.example") == 1
    finally:
        silent.set()
        resolver.close()
