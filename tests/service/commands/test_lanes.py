"""`postlude lanes`, as a process, against an API that runs."""

import json
from functools import partial

import httpx

from service.settings import Settings
from tests.service.api.driving import with_redis_away
from tests.service.commands import commanding
from tests.support.running import running_api

run = partial(commanding.run, group="lanes")


async def test_limits_are_set_shown_and_deleted(api: httpx.AsyncClient) -> None:
    done = await run(api.base_url, "set", "tenant:42", "--concurrency", "5", "--rate", "50/s")
    assert (done.code, done.out) == (0, "tenant:42  5 at once, 50 in 1 s  ready\n"), done.err
    shown = await run(api.base_url, "show", "tenant:42")
    assert shown.out.splitlines() == [
        "key          tenant:42",
        "state        ready",
        "limits       5 at once, 50 in 1 s",
        "jobs         0 wait, 0 run",
        "",
    ]
    strict = await run(api.base_url, "set", "tenant:42", "--strict", "--json")
    assert json.loads(strict.out)["order"] == "strict"
    assert (await run(api.base_url, "delete", "tenant:42")).out == "tenant:42  deleted\n"
    gone = await run(api.base_url, "show", "tenant:42")
    assert gone.code == 1
    assert gone.err.startswith("error: tenant:42: There is no lane 'tenant:42'")


async def test_list_shows_a_table_by_key_and_json_is_what_the_api_answers(api: httpx.AsyncClient) -> None:
    assert (await run(api.base_url, "list")).err == "no lanes\n"
    await run(api.base_url, "set", "host:a.example/b c", "--rate", "10/2.5")
    await run(api.base_url, "set", "tenant:*", "--concurrency", "3")
    await run(api.base_url, "pause", "tenant:*", "--for", "3600")
    listed = await run(api.base_url, "list")
    heading, *rows = listed.out.splitlines()
    assert heading.split() == ["KEY", "WAITING", "RUNNING", "LIMITS", "STATE"]
    assert rows[0].split("  ")[0] == "host:a.example/b c"
    assert "10 in 2.5 s" in rows[0]
    assert "paused until 20" in rows[1]
    as_json = json.loads((await run(api.base_url, "list", "--key", "tenant:", "--json")).out)
    assert [lane["key"] for lane in as_json["lanes"]] == ["tenant:*"]
    some = await run(api.base_url, "list", "--limit", "1")
    assert (len(some.out.splitlines()), some.err.startswith("there are more than 1")) == (2, True)


async def test_lanes_kinds_and_queues_are_paused_and_resumed(api: httpx.AsyncClient) -> None:
    paused = await run(api.base_url, "pause", "tenant:1", "kind:send_email", "queue:default")
    assert paused.code == 0
    assert paused.out.splitlines() == [
        "tenant:1  no limits  paused",
        "kind:send_email  paused",
        "queue:default  paused",
    ]
    assert (await api.get("/v1/queues")).json()["queues"][0]["paused"] is True
    for_a_while = await run(api.base_url, "pause", "queue:default", "--for", "60")
    assert for_a_while.out.startswith("queue:default  paused until 20")
    resumed = await run(api.base_url, "resume", "tenant:1", "kind:send_email", "kind:nobody", "queue:default")
    assert resumed.code == 1
    assert [line.rpartition("  ")[2] for line in resumed.out.splitlines()] == ["ready", "ready", "ready"]
    assert resumed.err.startswith("error: kind:nobody: There is no kind 'nobody', and no job")


async def test_a_refusal_says_what_does_not_fit(api: httpx.AsyncClient) -> None:
    refused = await run(api.base_url, "set", "a", "--strict", "--concurrency", "2")
    assert refused.code == 1
    told = "a lane in strict order runs one job at a time: leave out concurrency"
    assert refused.err == f"error: a: {told}.\n"
    kind = await run(api.base_url, "set", "kind:send_email", "--concurrency", "2")
    assert "A kind takes no limits: put its jobs into a lane" in kind.err


async def test_a_breaker_is_forced_and_let_go(api: httpx.AsyncClient) -> None:
    assert (await run(api.base_url, "breaker", "host:a", "open")).out == "host:a  no limits  breaker forced open\n"
    resumed = await run(api.base_url, "resume", "host:a")
    assert resumed.out == "host:a  no limits  breaker forced open\n"
    assert "lanes breaker host:a auto` lets it go" in resumed.err
    assert (await run(api.base_url, "breaker", "host:a", "auto")).out == "host:a  no limits  ready\n"


async def test_without_redis_it_says_that_a_change_holds_later(settings: Settings) -> None:
    async with running_api(with_redis_away(settings)) as api:
        done = await run(api.base_url, "pause", "tenant:1")
    assert (done.code, done.out) == (0, "tenant:1  no limits  paused\n")
    assert done.err == "recorded; it takes effect when Redis answers\n"


async def test_the_terminal_obeys_nothing_that_a_key_holds(api: httpx.AsyncClient) -> None:
    evil = "a\x1b]0;owned\x07\u202e\x9b31m"
    for arguments in (["set", evil, "--concurrency", "1"], ["list"], ["show", evil], ["delete", evil], ["show", evil]):
        shown = await run(api.base_url, *arguments)
        assert not set(shown.out + shown.err) & set("\x1b\x07\u202e\x9b"), arguments


async def test_wrong_usage_exits_with_code_2(api: httpx.AsyncClient) -> None:
    for arguments in (
        ["set", "a"],
        ["set", "a", "--concurrency", "0"],
        ["set", "a", "--rate", "50"],
        ["set", "a", "--rate", "50/week"],
        ["set", "..", "--concurrency", "1"],
        ["show"],
        ["pause", "a", "--for", "0"],
        ["breaker", "a", "ajar"],
        ["list", "--limit", "0"],
    ):
        assert (await run(api.base_url, *arguments)).code == 2, arguments
    refused = await run(api.base_url, "set", "a", "--concurrency", "10001")
    assert refused.code == 1
    assert "concurrency" in refused.err
