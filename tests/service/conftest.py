"""The API under test, served over a real socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from service.settings import Settings
from tests.support.running import running_api


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API over an empty ledger and an empty queue."""
    async with running_api(settings) as client:
        yield client
