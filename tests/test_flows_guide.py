"""What docs/flows.md shows works as it says: its commands run against a service, in their order."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook

import jobs
from service.settings import Settings
from service.web.jobs.job_out import JobOut
from tests.service.commands.commanding import run
from tests.support.receiver import receiving
from tests.support.running import eventually, running_api, running_worker
from tests.test_lanes_guide import curl, on_sqlite

GUIDE = (Path(__file__).parent.parent / "docs" / "flows.md").read_text()
SET = re.compile(r"^([A-Z]+)=", re.M)


def commands_of(section: str, names: Mapping[str, str]) -> list[list[str]]:
    text = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    assert text, section
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [shlex.split(_expanded(line, names)) for line in lines if not SET.match(line)]


def _expanded(line: str, names: Mapping[str, str]) -> str:
    """Put values in the place of variables as a shell does: not within single quotes."""
    return re.sub(r"'[^']*'|\$(\w+)", lambda found: names[found[1]] if found[1] else found[0], line)


async def follow(api: httpx.AsyncClient, section: str, **names: str) -> list[str]:
    """Run the commands of a section; return what they printed."""
    commands = commands_of(section, names)
    assert commands
    return [await (curl(api, one) if one[0] == "curl" else postlude(api, one)) for one in commands]


async def postlude(api: httpx.AsyncClient, command: list[str]) -> str:
    assert command[:2] == ["postlude", "flows"]
    done = await run(api.base_url, *command[2:], group="flows")
    assert (done.code, done.err) == (0, ""), (command, done.err)
    return done.out


async def enqueued(api: httpx.AsyncClient) -> dict[str, Any]:
    [answer] = await follow(api, "Enqueue a flow")
    return dict(json.loads(answer))


@on_sqlite
async def test_the_flow_of_the_guide_runs_and_another_job_joins_it(settings: Settings) -> None:
    async with running_api(settings) as api:
        flow = await enqueued(api)
        await follow(api, "Come after a job that is there", FLOW=flow["id"], REPORT=flow["jobs"]["report"])

        async def shown() -> dict[str, Any]:
            return dict((await api.get(f"/v1/flows/{flow['id']}")).raise_for_status().json())

        before = await shown()
        assert before["counts"] == {"queued": 1, "blocked": 4}
        assert [job["name"] for job in before["jobs"]] == ["load", "left", "right", "report", None]

        async def has_succeeded() -> bool:
            return bool((await shown())["state"] == "succeeded")

        async with running_worker(settings, jobs.load()):
            await eventually(has_succeeded)
        counted = (await api.get("/v1/stats")).raise_for_status().text
        assert all(event in counted for event in ("load", "left", "right", "report", "mail"))


@on_sqlite
async def test_flows_are_shown_cancelled_and_replayed_by_the_commands_of_the_guide(settings: Settings) -> None:
    async with running_api(settings) as api:
        flow = await enqueued(api)
        listed, shown, cancelled, replayed, blocked = await follow(
            api, "Look at flows, cancel and replay them", FLOW=flow["id"]
        )
        assert "nightly" in listed
        assert "report" in shown
        assert cancelled == f"{flow['id']}  cancelled  4 cancelled\n"
        assert replayed.startswith(f"{flow['id']}  running  ")
        assert "3 blocked" in replayed
        assert all(flow["jobs"][name] in blocked for name in ("left", "right", "report"))


@on_sqlite
async def test_the_callbacks_of_the_guide_come_with_a_signature(settings: Settings) -> None:
    async with running_api(settings) as api, receiving() as receiver:
        await follow(api, "Callbacks", URL=receiver.url)
        secret = re.search(r"whsec_[\w=+/]+", GUIDE)
        assert secret

        async def has_come() -> bool:
            return bool(receiver.requests) and "over" in (await api.get("/v1/stats")).text

        async with running_worker(settings, jobs.load()):
            await eventually(has_come)
        [request] = receiver.requests
        told = Webhook(secret[0]).verify(request.body.decode(), request.headers)
        assert (told["type"], told["data"]["state"]) == ("job.succeeded", "succeeded")
        [left_out] = re.findall(r"shows them; not ([^.]+)\.", GUIDE)
        assert JobOut.model_fields.keys() - told["data"].keys() == set(re.findall(r"`(\w+)`", left_out))


def test_the_guide_sets_every_variable_before_it_uses_it() -> None:
    used = {name: GUIDE.index(f"${name}") for name in re.findall(r"\$(\w+)", GUIDE)}
    found = {line[1]: line.start() for line in SET.finditer(GUIDE)}
    assert found.keys() == used.keys()
    assert all(found[name] < at for name, at in used.items())


def test_the_kind_that_the_guide_shows_can_be_declared() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
    shown: dict[str, Any] = {}
    exec(block, shown)
    assert shown["merge_halves"].name == "merge_halves"
