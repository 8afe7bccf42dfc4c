"""What docs/lanes.md shows works as it says: its commands run against a service, in their order."""

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

import jobs
from service.settings import Settings
from tests.service.commands.commanding import run
from tests.support.running import eventually, running_api, running_worker

GUIDE = (Path(__file__).parent.parent / "docs" / "lanes.md").read_text()
THERE = "http://127.0.0.1:8000"

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.M | re.S)


def commands_of(section: str) -> list[list[str]]:
    text = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    assert text, section
    return [shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]


async def follow(api: httpx.AsyncClient, section: str) -> list[str]:
    """Run the commands of a section; return what they printed."""
    commands = commands_of(section)
    assert commands
    return [await (curl(api, one) if one[0] == "curl" else postlude(api, one)) for one in commands]


async def curl(api: httpx.AsyncClient, command: list[str]) -> str:
    rest = iter(command[1:])
    method, url, headers, body = "GET", "", {}, None
    for one in rest:
        if one == "-X":
            method = next(rest)
        elif one == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif one == "-d":
            body, method = next(rest), "POST" if method == "GET" else method
        else:
            url = one
    assert url.startswith(THERE)
    answer = await api.request(method, url.removeprefix(THERE), headers=headers, content=body)
    return answer.raise_for_status().text


async def postlude(api: httpx.AsyncClient, command: list[str]) -> str:
    assert command[:2] == ["postlude", "lanes"]
    done = await run(api.base_url, *command[2:], group="lanes")
    assert (done.code, done.err) == (0, ""), (command, done.err)
    return done.out


async def lane(api: httpx.AsyncClient, key: str) -> dict[str, Any]:
    return dict((await api.get(f"/v1/lanes/{key}")).raise_for_status().json())


@on_sqlite
async def test_a_tenant_is_limited_as_the_guide_says(settings: Settings) -> None:
    async with running_api(settings) as api:
        await follow(api, "Limit a tenant")
        tenant = await lane(api, "tenant:42")
        assert (tenant["concurrency"], tenant["rate"], tenant["waiting"]) == (20, {"limit": 50, "per": 1}, 1)
        listed = await follow(api, "See what waits")
        assert "20 at once, 50 in 1 s" in listed[0]
        assert '"lane":"tenant:42"' in listed[2]


@on_sqlite
async def test_destinations_have_the_lanes_and_limits_that_the_guide_names(settings: Settings) -> None:
    async with running_api(settings) as api:
        await follow(api, "Protect a destination")
        hook = {"url": "https://hooks.example.com/x", "event": "e", "data": None}
        mail = {"to": ["ann@example.com"], "subject": "s", "text": "t"}
        for kind, args in (("send_webhook", hook), ("send_email", mail)):
            job = (await api.post("/v1/jobs", json={"kind": kind, "args": args})).raise_for_status().json()
            [key] = job["lanes"]
            assert f"`{key}`" in GUIDE.replace("host:<host>", "host:hooks.example.com")
        limited = await lane(api, "host:hooks.example.com")
        assert (limited["concurrency"], limited["rate"]) == (10, {"limit": 600, "per": 60})


@on_sqlite
async def test_breakers_are_forced_by_the_commands_of_the_guide(settings: Settings) -> None:
    async with running_api(settings) as api:
        printed = await follow(api, "What the breaker does")
    assert [line.rstrip().rpartition("  ")[2] for line in printed] == [
        "breaker forced open",
        "breaker forced closed",
        "ready",
    ]


@on_sqlite
async def test_the_order_of_the_guide_is_kept_and_a_pause_and_a_resume_do_what_it_says(settings: Settings) -> None:
    async with running_api(settings) as api:
        await follow(api, "Keep an order")
        assert (await lane(api, "account:7"))["waiting"] == 1
        async with running_worker(settings, jobs.load()):
            done = await follow(api, "Pause something")
            assert done[0].rstrip().endswith("paused")
            assert not any("paused" in line for line in done[-1].splitlines())

            async def is_done() -> bool:
                return bool((await lane(api, "account:7"))["waiting"] == 0)

            await eventually(is_done)
        assert (await lane(api, "account:7"))["order"] in ("strict", None)  # it came with the job


def test_the_kind_that_the_guide_shows_has_the_lane_that_it_says() -> None:
    shown: dict[str, Any] = {}
    exec(blocks("python")[0], shown)
    kind = shown["sync_account"]
    of_args = kind.lane_of(shown["SyncArgs"](account="a", region="eu"))
    assert of_args == jobs.Lane("crm:eu", concurrency=10, rate=jobs.Rate(100, per=60))
