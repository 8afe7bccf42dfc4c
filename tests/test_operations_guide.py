"""What docs/operations.md shows works as it says: its commands run against a service, in their order."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs import operate
from service.ledger.ledger import Ledger
from service.lifecycle.operations.job_filter import JobFilter
from service.settings import Settings
from service.web.operation_out import OperationOut
from tests.service.commands.commanding import run
from tests.support.many_jobs import make_jobs, states_of
from tests.support.operating import ended, look_at, running_operator, start
from tests.support.running import running_api

GUIDE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
THERE = "http://127.0.0.1:8000"

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def commands_of(section: str) -> list[list[str]]:
    text = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = [shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert found, section
    return found


async def curl(api: httpx.AsyncClient, command: list[str]) -> dict[str, Any]:
    method, url, header, body = command[2], command[3], command[5], command[7]
    assert (command[:2], header) == (["curl", "-X"], "Content-Type: application/json")
    sent = {"headers": {"Content-Type": "application/json"}, "content": body}
    answer = await api.request(method, url.removeprefix(THERE), **sent)  # type: ignore[arg-type]
    assert answer.status_code == 202, answer.text
    operation: dict[str, Any] = answer.json()
    return operation


async def postlude(api: httpx.AsyncClient, command: list[str]) -> str:
    assert command[:2] == ["postlude", "operations"]
    done = await run(api.base_url, *command[2:], group="operations")
    assert (done.code, done.err) == (0, ""), (command, done.err)
    return done.out


@on_sqlite
async def test_the_guides_commands_do_what_it_says(settings: Settings, ledger: Ledger) -> None:
    failed = await make_jobs(ledger, 7)
    async with running_api(settings) as api, running_operator(settings):
        dry, real, listed, again = commands_of("Try it dry, then do it")
        assert (await ended(api, await curl(api, dry)))["done"] == 7
        assert (await states_of(ledger, failed)) == {"failed": 7}
        assert (await ended(api, await curl(api, real)))["done"] == 7
        assert "after the outage" in await postlude(api, listed)
        assert "0 of 0 would be done" in await postlude(api, again)
        scheduled = await make_jobs(ledger, 5, state="scheduled", tags=["import"])
        [change] = commands_of("Change")
        assert "5 of 5 done" in await postlude(api, change)
        job = (await api.get(f"/v1/jobs/{scheduled[0]}")).json()
        assert (job["priority"], job["lane"]) == (5, "backfill")
        [slowly] = commands_of("Slowly")
        assert "5 of 5 done" in await postlude(api, slowly)
        assert await states_of(ledger, scheduled) == {"cancelled": 5}


@on_sqlite
async def test_a_stopped_operation_goes_on_as_the_guide_says(settings: Settings, ledger: Ledger) -> None:
    await make_jobs(ledger, 3, state="scheduled", tags=["t"])
    async with running_api(settings) as api:
        operation = await start(api, "cancel", {"tag": "t"})
        await api.post(f"/v1/operations/{operation['id']}/stop")
        assert (await look_at(api, operation))["state"] == "stopped"
        await api.post(f"/v1/jobs/{operation['job_id']}/replay")
        async with running_operator(settings):
            while (found := await ended(api, operation))["state"] == "stopped":
                pass
            assert (found["state"], found["done"]) == ("succeeded", 3)


def test_the_shape_that_the_guide_shows_is_that_of_an_operation() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", GUIDE, re.S)
    assert set(json.loads(shown)) <= set(OperationOut.model_fields)


def test_the_guide_names_all_members_of_a_filter_and_the_kind() -> None:
    section = GUIDE.partition("## What is a member\n")[2].partition("\n## ")[0]
    ours = {"within_kinds", "within_queues"}  # noted for callers with limits, and sent by nobody
    assert [name for name in {*JobFilter.model_fields} - ours if f"`{name}`" not in section] == []
    assert f"`{operate.operate.name}`" in GUIDE
