"""Redis is told about ends, and every caller that waits for an attempt hears of its end."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from arq.constants import result_key_prefix

from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.worker.performing import settling
from service.worker.performing.finishing import Finishing
from service.worker.performing.settling import Settling
from tests.service.worker.desk import Desk, open_desk
from tests.support.cancelling import cancel_all_named, cancel_unbegun

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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_round_that_is_cancelled_before_its_first_step_holds_up_no_outcome(settings: Settings) -> None:
    async with open_desk(settings) as desk, asyncio.timeout(10):
        rounds: list[None] = []
        settling = Settling(desk.lifecycle, lambda: rounds.append(None))
        waiting = asyncio.create_task(settling.settle(STARTED, FINISH, FINISHED))
        await asyncio.sleep(0)
        await cancel_unbegun("settling")
        await waiting
        assert len(rounds) == 1
        await _told(settling)
        assert await _results(desk, "arq-1") == 1
        await settling.settle(STARTED, FINISH, FINISHED)
        assert not settling.busy


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_round_that_is_cancelled_midway_holds_up_no_outcome_and_loses_no_result(settings: Settings) -> None:
    async with open_desk(settings) as desk, asyncio.timeout(10):
        settling = Settling(desk.lifecycle, lambda: None)
        waiting = [asyncio.create_task(settling.settle(STARTED, FINISH, FINISHED))]
        for _ in range(2):  # to the round's first step, which asks Redis
            await asyncio.sleep(0)
        joined = STARTED._replace(id="j2", arq_id="arq-2")
        waiting.append(asyncio.create_task(settling.settle(joined, FINISH, FINISHED)))
        await asyncio.sleep(0)
        cancel_all_named("settling")
        await asyncio.gather(*waiting)
        await _told(settling)
        assert await _results(desk, "arq-1", "arq-2") == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rounds_that_are_cancelled_again_and_again_begin_again_only_now_and_then(settings: Settings) -> None:
    async with open_desk(settings) as desk, asyncio.timeout(10):
        rounds: list[None] = []
        settling = Settling(desk.lifecycle, lambda: rounds.append(None))
        waiting = asyncio.create_task(settling.settle(STARTED, FINISH, FINISHED))
        for _ in range(1_000):
            await asyncio.sleep(0)
            cancel_all_named("settling")
        await waiting
        assert settling.busy
        assert len(rounds) < 100  # one in 0.1 s, however slow the machine is
        await _told(settling)
        assert await _results(desk, "arq-1") == 1


async def _told(settling: Settling) -> None:
    while settling.busy:
        await asyncio.sleep(0.01)


async def _results(desk: Desk, *arq_ids: str) -> int:
    return int(await desk.queue.redis.exists(*(result_key_prefix + arq_id for arq_id in arq_ids)))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_ends_that_follow_one_another_are_recorded_together(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    async def note(_ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        written.append(len(finishes))
        return [FINISHED for _ in finishes]

    monkeypatch.setattr(Ledger, "finish_all", note)
    async with open_desk(settings) as desk:
        finishing = Finishing(desk.ledger, desk.resources.catalogue)

        async def end_after(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await finishing.record(STARTED, FINISH)

        # Attempts in the same slot end three turns after one another.
        await asyncio.gather(*(end_after(3 * place) for place in range(4)))
    assert written == [4]
