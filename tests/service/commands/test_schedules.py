"""`postlude schedules`, as a process, against an API that runs."""

import json
from functools import partial

import httpx

from tests.service.commands import commanding

run = partial(commanding.run, group="schedules")
ARGS = '{"subject": "s", "event": "e"}'


async def test_a_schedule_is_made_shown_and_deleted(api: httpx.AsyncClient) -> None:
    made = await run(
        api.base_url, "set", "nightly/1", "--kind", "update_stats", "--args", ARGS, "--cron", "0 2 * * *",
        "--time-zone", "Europe/Berlin", "--overlap", "skip", "--jitter", "30", "--options", '{"priority": 1}',
    )  # fmt: skip
    assert (made.code, made.out) == (0, "nightly/1  0 2 * * * (Europe/Berlin)  ready\n"), made.err
    shown = (await run(api.base_url, "show", "nightly/1")).out.splitlines()
    assert shown[:7] == [
        "name         nightly/1",
        "state        ready",
        "kind         update_stats",
        "cron         0 2 * * * (Europe/Berlin)",
        "catch up     last",
        "overlap      skip",
        "jitter       30 s",
    ]
    listed = await run(api.base_url, "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["NAME", "cleanup", "nightly/1"]
    as_json = json.loads((await run(api.base_url, "list", "--json")).out)
    assert as_json == (await api.get("/v1/schedules")).json()
    assert (await run(api.base_url, "delete", "nightly/1")).out == "nightly/1  deleted\n"
    gone = await run(api.base_url, "show", "nightly/1")
    assert (gone.code, gone.err) == (
        1,
        "error: nightly/1: There is no schedule 'nightly/1'. It may have been deleted.\n",
    )


async def test_schedules_are_paused_resumed_and_run_and_tell_their_ticks(api: httpx.AsyncClient) -> None:
    assert (await run(api.base_url, "pause", "cleanup")).out == "cleanup  17 3 * * * (UTC)  paused\n"
    assert (await run(api.base_url, "resume", "cleanup")).out == "cleanup  17 3 * * * (UTC)  ready\n"
    ran = await run(api.base_url, "run", "cleanup", "nobody")
    assert ran.out.startswith("cleanup  enqueued ")
    assert (ran.code, ran.err) == (1, "error: nobody: There is no schedule 'nobody'. It may have been deleted.\n")
    heading, tick = (await run(api.base_url, "history", "cleanup")).out.splitlines()
    assert heading.split() == ["DUE", "OUTCOME", "JOB", "REASON"]
    assert [tick.split()[2], *tick.split()[-2:]] == ["fired", "run", "now"]
    coming = (await run(api.base_url, "next", "cleanup", "--count", "3")).out.splitlines()
    assert [line[11:] for line in coming] == ["03:17:00Z"] * 3


async def test_a_history_that_is_cut_says_so_and_all_shows_it_whole(api: httpx.AsyncClient) -> None:
    assert (await run(api.base_url, "history", "cleanup")).err == "no ticks\n"
    for _ in range(2):
        await run(api.base_url, "run", "cleanup")
    some = await run(api.base_url, "history", "cleanup", "--limit", "1")
    assert (len(some.out.splitlines()), some.err.startswith("there are more than 1")) == (2, True)
    whole = await run(api.base_url, "history", "cleanup", "--all")
    assert (len(whole.out.splitlines()), whole.err) == (3, "")


async def test_a_refusal_says_what_does_not_fit(api: httpx.AsyncClient) -> None:
    refused = await run(api.base_url, "set", "s", "--kind", "update_stats", "--args", ARGS, "--cron", "61 * * * *")
    assert (refused.code, "cron: Bad minute" in refused.err) == (1, True)
    unread = await run(api.base_url, "set", "s", "--kind", "update_stats", "--args", "{", "--cron", "@daily")
    assert (unread.code, "{ is not JSON" in unread.err) == (2, True)
    of_code = await run(api.base_url, "delete", "cleanup")
    assert (of_code.code, "change cron= in its code" in of_code.err) == (1, True)


async def test_what_json_cannot_hold_is_refused_before_it_is_sent(api: httpx.AsyncClient) -> None:
    wanted = ("--kind", "update_stats", "--args", ARGS, "--cron", "@daily")
    for odd in (("--jitter", "nan"), ("--options", '{"timeout": Infinity}'), ("--time-zone", "\udcff")):
        refused = await run(api.base_url, "set", "s", *wanted, *odd)
        assert (refused.code, "cannot be written as JSON" in refused.err) == (1, True), refused.err
    twice = await run(api.base_url, "set", "s", *wanted, "--options", '{"queue": "nope"}')
    assert (twice.code, twice.err.count("queue is unknown")) == (1, 1)
