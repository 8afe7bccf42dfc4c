"""Servers that features offer are found by their name."""

import pytest

from service.dev import servers
from service.errors import StartRefused
from service.settings import Settings


async def test_server_that_no_feature_offers_is_a_sentence() -> None:
    with pytest.raises(StartRefused, match=r"no feature in service/features\.py offers a server 'nope'"):
        await servers.run("nope", Settings())
