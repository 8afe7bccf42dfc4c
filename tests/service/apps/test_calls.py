"""Calls of apps through a real worker: what the ledger finally says about them, and what their lane does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from jobs.app import call_app
from service.apps.records import record_app
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.raw_receiver import Line, RawReceiver, Script, always, raw_receiver
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def verdict(**said: Any) -> bytes:
    return HEAD + chunk(json.dumps(said).encode() + b"\n") + chunk(b"")


async def register(ledger: Ledger, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    await ledger.database.run(
        lambda connection: record_app(connection, "shop", url=url, secret=SECRET, is_trusted=lambda _: True)
    )


@asynccontextmanager
async def working(settings: Settings, ledger: Ledger, script: Script) -> AsyncIterator[tuple[Desk, RawReceiver]]:
    async with (
        raw_receiver(script) as receiver,
        open_desk(settings, call_app) as desk,
        running_worker(settings, catalogue_of(call_app)),
    ):
        await register(ledger, receiver.port)
        yield desk, receiver


def call(function: str = "shop.mail.send") -> dict[str, Any]:
    return {"app": "shop", "function": function}


async def test_a_call_is_one_job_one_attempt_and_one_request(settings: Settings, ledger: Ledger) -> None:
    async with working(settings, ledger, always(verdict(outcome="succeeded", result=7))) as (desk, receiver):
        row = await desk.ended(await desk.enqueue(call_app, call()))
    assert (row["state"], row["result"], row["attempt"], row["label"]) == ("succeeded", "7", 1, "shop.shop.mail.send")
    assert len(receiver.requests) == 1


async def test_what_an_app_interrupts_is_tried_again_at_no_cost(settings: Settings, ledger: Ledger) -> None:
    said = iter([verdict(outcome="interrupted"), verdict(outcome="succeeded")])

    async def script(line: Line) -> None:
        while True:
            await line.answer(next(said))

    async with working(settings, ledger, script) as (desk, _):
        row = await desk.ended(job_id := await desk.enqueue(call_app, call(), max_attempts=1))
        outcomes = await desk.outcomes(job_id)
    assert (row["state"], row["failures"], outcomes) == ("succeeded", 0, ["snoozed", "succeeded"])


async def test_the_error_of_a_function_is_the_attempts(settings: Settings, ledger: Ledger) -> None:
    error = {"type": "SMTPException", "message": "no route", "traceback": "Traceback\n  mail.py, line 7\n"}
    async with working(settings, ledger, always(verdict(outcome="failed", error=error))) as (desk, _):
        row = await desk.ended(job_id := await desk.enqueue(call_app, call(), max_attempts=1))
        [attempt] = await desk.attempts(job_id)
    assert (row["error_type"], row["error_message"]) == ("SMTPException", "no route")
    assert (attempt["outcome"], attempt["traceback"]) == ("failed", error["traceback"])


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_timeout_ends_the_attempt_and_closes_the_connection(
    settings: Settings, ledger: Ledger, says_so: bool
) -> None:
    hung_up = asyncio.Event()

    async def script(line: Line) -> None:
        await line.answer(HEAD, chunk(b"\n"))
        if says_so:
            await line.say(chunk(b'{"outcome": "timed_out"}\n'), chunk(b""))
        await line.hung_up()
        hung_up.set()

    async with working(settings, ledger, script) as (desk, _):
        options = {"timeout": timedelta(seconds=1), "max_attempts": 1}
        row = await desk.ended(job_id := await desk.enqueue(call_app, call(), **options))
        async with asyncio.timeout(10):
            await hung_up.wait()
        assert (row["state"], row["error_type"], await desk.outcomes(job_id)) == ("failed", "TimedOut", ["timed_out"])


async def test_an_app_that_is_down_holds_its_own_lane_and_costs_the_waiting_nothing(
    settings: Settings, ledger: Ledger
) -> None:
    async def hang_up(line: Line) -> None:
        await line.request()

    async with working(settings, ledger, hang_up) as (desk, receiver):
        first = [await desk.enqueue(call_app, call(f"shop.f{number}"), max_attempts=1) for number in range(5)]
        rows = [await desk.ended(job_id) for job_id in first]
        assert {row["error_type"] for row in rows} == {"AppUnreachable"}

        async def is_open() -> bool:
            return (await desk.queue.lanes.states(["app:shop"]))["app:shop"].breaker == "open"

        await eventually(is_open)
        waiting = await desk.enqueue(call_app, call())
        asked = len(receiver.requests)
        await asyncio.sleep(0.5)  # nothing is to happen
        row = await desk.row(waiting)
        assert (row["state"], row["attempt"], len(receiver.requests)) == ("queued", 0, asked)


async def test_an_app_that_moves_is_followed_within_two_seconds(settings: Settings, ledger: Ledger) -> None:
    async with (
        working(settings, ledger, always(verdict(outcome="succeeded", result="old"))) as (desk, _),
        raw_receiver(always(verdict(outcome="succeeded", result="new"))) as new,
    ):
        assert (await desk.ended(await desk.enqueue(call_app, call())))["result"] == '"old"'
        await register(ledger, new.port)

        async def has_moved() -> bool:
            return bool((await desk.ended(await desk.enqueue(call_app, call())))["result"] == '"new"')

        await eventually(has_moved)


async def test_an_address_that_is_not_allowed_is_tried_again_and_shown(settings: Settings, ledger: Ledger) -> None:
    settings = settings.model_copy(update={"app_allow": ()})
    async with working(settings, ledger, always(verdict(outcome="succeeded"))) as (desk, receiver):
        job_id = await desk.enqueue(call_app, call())
        row = await desk._in_state(job_id, "retrying")
    assert row["error_type"] == "AppAddressRefused"
    assert "POSTLUDE_APP_ALLOW" in row["error_message"]
    assert receiver.requests == []
