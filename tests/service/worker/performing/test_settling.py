"""Redis is told of ends, and whoever waits for an attempt hears of its end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from service.ledger.models import Finish, Finished, Started
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.worker.performing import settling
from service.worker.performing.settling import Settling
from tests.service.worker.desk import open_desk

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STARTED = Started("j1", "quick", 1, 0, 0, 5, "{}", None, "default", "arq-1", NOW, "w", NOW)
FINISH = Finish("j1", "quick", 1, "w", Outcome.SUCCEEDED, State.SUCCEEDED, NOW, result="1")
FINISHED = Finished(State.SUCCEEDED, NOW, "default")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_end_that_arq_cannot_express_still_reaches_the_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> None:
        raise ValueError("no such word")

    monkeypatch.setattr(settling, "word_after", refuse)
    async with open_desk(settings) as desk, asyncio.timeout(10):
        await Settling(desk.lifecycle, lambda: None).settle(STARTED, FINISH, FINISHED)
