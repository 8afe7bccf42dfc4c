"""What docs/schedules.md shows works as it says: its commands run against a service, in their order."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from jobs.kit.cron import expression
from service.settings import Settings
from tests.service.commands.commanding import run
from tests.support.running import running_api

GUIDE = (Path(__file__).parent.parent / "docs" / "schedules.md").read_text()
THERE = "http://127.0.0.1:8000"


async def follow(api: httpx.AsyncClient) -> list[str]:
    """Run all commands of the guide; return what they printed."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.S) for line in block.splitlines()]
    return [await (curl if line.startswith("curl") else postlude)(api, shlex.split(line)) for line in lines]


async def curl(api: httpx.AsyncClient, command: list[str]) -> str:
    url = next(one for one in command if one.startswith(THERE)).removeprefix(THERE)
    body = command[command.index("-d") + 1] if "-d" in command else None
    method = command[command.index("-X") + 1] if "-X" in command else "GET"
    answer = await api.request(method, url, content=body, headers={"content-type": "application/json"})
    return answer.raise_for_status().text


async def postlude(api: httpx.AsyncClient, command: list[str]) -> str:
    assert command[:2] == ["postlude", "schedules"]
    done = await run(api.base_url, *command[2:], group="schedules")
    assert done.code == 0, (command, done.err)
    assert done.err in ("", "no ticks\n"), command
    return done.out


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_commands_of_the_guide_do_what_it_says(settings: Settings) -> None:
    async with running_api(settings) as api:
        printed = await follow(api)
        assert len(printed[2].splitlines()) == 3
        assert "half-hourly" in printed[3]
        assert printed[-1] == "nightly  deleted\nhalf-hourly  deleted\n"
        assert "run now" in (await api.get("/v1/schedules/nightly/ticks")).text


def test_every_expression_of_the_guide_can_be_used() -> None:
    table = GUIDE.partition("## Expressions")[2].partition("## What became")[0]
    shown = [one for one in re.findall(r"`([^`]+)`", table) if re.match(r"[@\d*]", one) and one != "*"]
    names = [name for one in shown if one.startswith("@") for name in one.split()]
    assert len(shown) > 10
    for text in [*names, *(one for one in shown if not one.startswith("@"))]:
        if len(text.split()) > 1 or text.startswith("@"):
            assert next(expression(text).after(datetime(2026, 1, 1, tzinfo=UTC)))


def test_the_doubtful_hours_are_as_the_guide_says() -> None:
    berlin = expression("30 2 * * *", "Europe/Berlin")
    assert next(berlin.after(datetime(2026, 3, 28, 12, tzinfo=UTC))) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert next(berlin.after(datetime(2026, 10, 24, 12, tzinfo=UTC))) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
