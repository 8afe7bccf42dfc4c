"""Two processes over the same ledger and queue."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.service.worker.keeping.sweeping import rest


@pytest.fixture(autouse=True)
def wipes_are_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.keeping.queue_watch._READ_EPOCH_EVERY_S", 0.0)


@pytest.fixture
async def desks(settings: Settings) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two processes over the same ledger and queue."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_desk(settings, rest)),
            await stack.enter_async_context(open_desk(settings, rest)),
        )


@pytest.fixture
def desk(desks: tuple[Desk, Desk]) -> Desk:
    return desks[0]
