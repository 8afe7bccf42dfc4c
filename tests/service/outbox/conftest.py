"""A desk over a ledger whose own database has an outbox."""

from collections.abc import AsyncIterator

import pytest

from service.settings import Settings
from tests.service.outbox.writing_rows import note, post
from tests.service.worker.desk import Desk, open_desk


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, note, post) as opened:
        yield opened
