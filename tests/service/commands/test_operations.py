"""`postlude operations`, as a process, against an API and a worker that run."""

import json
from functools import partial

import httpx

from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.commands import commanding
from tests.support.many_jobs import make_jobs, states_of
from tests.support.operating import running_operator

run = partial(commanding.run, group="operations")


async def test_an_operation_is_started_followed_shown_and_listed(
    api: httpx.AsyncClient, ledger: Ledger, settings: Settings
) -> None:
    members = await make_jobs(ledger, 30, state="scheduled", tags=["t"])
    await make_jobs(ledger, 2, state="succeeded", tags=["t"])
    assert (await run(api.base_url, "list")).err == "no operations\n"
    async with running_operator(settings):
        rehearsed = await run(api.base_url, "start", "cancel", "--tag", "t", "--dry-run")
        assert "members      30 of 32 would be done, 2 failed (2 state_forbids)" in rehearsed.out.splitlines()
        assert await states_of(ledger, members) == {"scheduled": 30}
        done = await run(api.base_url, "start", "cancel", "--tag", "t", "--name", "tidy", "--rate", "1000", "--json")
    assert done.code == 1  # it failed on two
    operation = json.loads(done.out)
    assert (operation["state"], operation["done"], operation["failed"]) == ("succeeded", 30, 2)
    assert await states_of(ledger, members) == {"cancelled": 30}
    shown = (await run(api.base_url, "show", operation["id"])).out.splitlines()
    assert shown[:4] == [
        f"id           {operation['id']}",
        "name         tidy",
        "action       cancel",
        "state        succeeded",
    ]
    assert 'filter       {"tag": "t"}' in shown
    assert sum("state_forbids" in line for line in shown) == 3
    heading, *rows = (await run(api.base_url, "list")).out.splitlines()
    assert heading.split() == ["ID", "ACTION", "STATE", "DONE", "FAILED", "CREATED", "NAME"]
    assert [row.split("  ")[1].strip() for row in rows] == ["cancel", "cancel"]
    assert len(json.loads((await run(api.base_url, "list", "--limit", "1", "--json")).out)["operations"]) == 1


async def test_a_list_that_is_cut_says_so_and_all_shows_it_whole(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        await run(api.base_url, "start", "delete", "--kind", "update_stats", "--no-wait")
    some = await run(api.base_url, "list", "--limit", "1")
    assert (len(some.out.splitlines()), some.err.startswith("there are more than 1")) == (2, True)
    whole = await run(api.base_url, "list", "--all")
    assert (len(whole.out.splitlines()), whole.err) == (3, "")


async def test_an_operation_is_paced_and_stopped(api: httpx.AsyncClient) -> None:
    started = await run(api.base_url, "start", "delete", "--kind", "update_stats", "--no-wait", "--json")
    assert started.code == 0
    operation = json.loads(started.out)
    paced = await run(api.base_url, "pace", operation["id"], "--rate", "2.5", "--json")
    assert json.loads(paced.out)["rate"] == 2.5
    stopped = await run(api.base_url, "stop", operation["id"], "none")
    assert stopped.out == f"{operation['id']}  stopped  0 of 0 done\n"
    assert (stopped.code, stopped.err) == (
        1,
        "error: none: There is no operation 'none'. It may be past its retention.\n",
    )


async def test_what_makes_no_sense_is_told_in_a_sentence(api: httpx.AsyncClient) -> None:
    nothing = await run(api.base_url, "start", "cancel")
    assert (nothing.code, "Select jobs by options" in nothing.err) == (2, True)
    unsaid = await run(api.base_url, "start", "change", "--tag", "t")
    assert (unsaid.code, "--change '{\"priority\": 5}'" in unsaid.err) == (2, True)
    idle = await run(api.base_url, "start", "cancel", "--tag", "t", "--change", "{}")
    assert (idle.code, "--change goes with the action `change` only" in idle.err) == (2, True)
    garbled = await run(api.base_url, "start", "change", "--tag", "t", "--change", "{")
    assert (garbled.code, "is not JSON" in garbled.err) == (2, True)
    deep = await run(api.base_url, "start", "change", "--tag", "t", "--change", "[" * 100_000)
    assert (deep.code, "is not JSON" in deep.err) == (2, True)
    refused = await run(api.base_url, "start", "change", "--tag", "t", "--change", '{"priority": 99}')
    assert (refused.code, refused.err.startswith("error: ")) == (1, True)
