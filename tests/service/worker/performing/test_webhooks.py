"""Webhooks through a real worker, to receivers that answer oddly: what the ledger finally says about them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from jobs.webhook.kind import send_webhook
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.raw_receiver import OK, Line, always, raw_receiver
from tests.support.running import catalogue_of, running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Desk]:
    settings = settings.model_copy(update={"webhook_allow": (ip_network("127.0.0.0/8"),)})
    async with open_desk(settings, send_webhook) as desk, running_worker(settings, catalogue_of(send_webhook)):
        yield desk


def event(url: str, **args: Any) -> dict[str, Any]:
    return {"url": url, "event": "invoice.paid", "data": {"id": 7}} | args


@pytest.mark.parametrize("timeout_s", [1, 30])
async def test_event_that_was_taken_is_posted_once_even_if_its_answer_never_ends(
    settings: Settings, ledger: Ledger, timeout_s: float
) -> None:
    hanging = always(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    async with raw_receiver(hanging) as receiver, working(settings) as desk:
        options = {"timeout": timedelta(seconds=timeout_s), "max_attempts": 3}
        row = await desk.ended(await desk.enqueue(send_webhook, event(receiver.url), **options))
    assert (row["state"], row["attempt"], len(receiver.requests)) == ("succeeded", 1, 1)


async def test_receiver_that_closes_shortly_after_its_answers_costs_no_job(settings: Settings, ledger: Ledger) -> None:
    async def script(line: Line) -> None:
        await line.answer(OK)
        await asyncio.sleep(0.02)

    async with raw_receiver(script) as receiver, working(settings) as desk:
        jobs = []
        for _ in range(60):
            jobs.append(await desk.enqueue(send_webhook, event(receiver.url), max_attempts=1))
            await asyncio.sleep(0.01)
        assert {(await desk.ended(job_id))["state"] for job_id in jobs} == {"succeeded"}


async def test_answer_that_nobody_asked_for_never_becomes_a_jobs_result(settings: Settings, ledger: Ledger) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.answer(OK)
            await line.say(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")

    async with raw_receiver(script) as receiver, working(settings) as desk:
        jobs = [await desk.enqueue(send_webhook, event(receiver.url), max_attempts=1) for _ in range(30)]
        assert {(await desk.ended(job_id))["state"] for job_id in jobs} == {"succeeded"}
    assert len(receiver.requests) == 30


async def test_404_is_tried_again_by_the_schedule_and_named_by_its_own_type(settings: Settings, ledger: Ledger) -> None:
    missing = always(b"HTTP/1.1 404 Missing\r\ncontent-length: 0\r\n\r\n")
    async with raw_receiver(missing) as receiver, working(settings) as desk:
        job_id = await desk.enqueue(send_webhook, event(receiver.url))
        row = await desk._in_state(job_id, "retrying")
        [attempt] = await desk.attempts(job_id)
        given_up = await desk.ended(await desk.enqueue(send_webhook, event(receiver.url, give_up_on=[404])))
    assert attempt["error_type"] == "HttpStatusError"
    assert timedelta(seconds=4) <= row["run_at"] - attempt["finished_at"] <= timedelta(seconds=7)
    assert (given_up["state"], given_up["attempt"]) == ("failed", 1)
