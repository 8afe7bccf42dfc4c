"""`postlude jobs`, as a process, against an API that runs."""

import asyncio
import json
import subprocess

import httpx

from tests.service.commands.commanding import POSTLUDE, enqueue, run


async def test_list_shows_a_table_and_json_is_what_the_api_answers(api: httpx.AsyncClient) -> None:
    first = await enqueue(api, tags=["red"])
    second = await enqueue(api)
    shown = await run(api.base_url, "list")
    assert shown.code == 0
    heading, newest, oldest = shown.out.splitlines()
    assert heading.split() == ["ID", "KIND", "STATE", "ATTEMPT", "CREATED", "ERROR"]
    assert newest.split()[:3] == [second, "update_stats", "scheduled"]
    assert oldest.startswith(first)
    listed = json.loads((await run(api.base_url, "list", "--tag", "red", "--json")).out)
    assert [job["id"] for job in listed["jobs"]] == [first]
    assert listed["next_cursor"] is None
    assert (await run(api.base_url, "list", "--state", "failed")).err == "no jobs\n"
    none = await run(api.base_url, "list", "--kind", "nope", "--kind", "cleanup")
    assert (none.code, none.err) == (0, "no jobs\nthere is no kind 'nope'\n")


async def test_list_reads_as_many_pages_as_it_takes(api: httpx.AsyncClient) -> None:
    one = {"kind": "update_stats", "args": {"subject": "s", "event": "e"}, "delay": 3600}
    (await api.post("/v1/jobs/batch", json={"jobs": [one] * 450})).raise_for_status()
    assert len((await run(api.base_url, "list", "--all")).out.splitlines()) == 451
    some = await run(api.base_url, "list", "--limit", "300")
    assert len(some.out.splitlines()) == 301
    assert "more than 300" in some.err


async def test_show_tells_everything_and_the_terminal_obeys_none_of_it(api: httpx.AsyncClient) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m"
    job_id = await enqueue(api, subject=f"plain{evil}")
    for arguments in (["show", job_id], ["show", job_id, "--json"], ["list"], ["cancel", evil]):
        shown = await run(api.base_url, *arguments)
        assert not set(shown.out + shown.err) & set("\x1b\x07\r\u202e\x9b"), arguments
    shown = await run(api.base_url, "show", job_id)
    assert "kind         update_stats" in shown.out
    assert '"subject": "plain\\u001b' in shown.out
    assert json.loads((await run(api.base_url, "show", job_id, "--json")).out)["args"]["subject"] == f"plain{evil}"


async def test_one_refused_job_keeps_no_other_from_being_cancelled(api: httpx.AsyncClient) -> None:
    first, second = await enqueue(api), await enqueue(api)
    done = await run(api.base_url, "cancel", first, "nobody", second)
    assert done.code == 1
    assert done.out.splitlines() == [f"{first}  cancelled", f"{second}  cancelled"]
    assert done.err.startswith("error: nobody: There is no job")
    again = await run(api.base_url, "replay", first, second, "--json")
    assert again.code == 0
    assert [job["id"] for job in again.json_lines] == [first, second]


async def test_all_matching_jobs_are_replayed(api: httpx.AsyncClient) -> None:
    ids = [await enqueue(api, tags=["lost"]) for _ in range(3)]
    await run(api.base_url, "cancel", *ids)
    tried = await run(api.base_url, "replay", "--tag", "lost", "--dry-run")
    assert tried.out == "3 matched, 3 would be replayed\n"
    none = await run(api.base_url, "replay", "--finished-before", "2026-01-01T00:00:00Z", "--error-type", "OSError")
    assert (none.code, none.out) == (0, "0 matched, 0 replayed\n")
    states = ["--state", "cancelled", "--state", "failed"]
    kinds = ["--kind", "send_email", "--kind", "update_stats"]
    done = await run(api.base_url, "replay", "--tag", "lost", *states, *kinds)
    assert (done.code, done.out) == (0, "3 matched, 3 replayed\n")


async def test_several_values_of_one_option_match_any_of_them(api: httpx.AsyncClient) -> None:
    first, second = await enqueue(api), await enqueue(api)
    for options in (["--kind", "cleanup", "--kind", "update_stats"], ["--queue", "nope", "--queue", "default"]):
        shown = await run(api.base_url, "list", *options, "--order", "asc", "--json")
        assert [job["id"] for job in json.loads(shown.out)["jobs"]] == [first, second]


async def test_wrong_usage_exits_with_code_2(api: httpx.AsyncClient) -> None:
    for arguments in (
        ["list", "--limit", "0"],
        ["list", "--state", "lost"],
        ["list", "--order", "newest"],
        ["cancel"],
        ["cancel", ".."],
        ["replay"],
        ["replay", "id", "--kind", "x"],
        ["tail", "id", "--kind", "x"],
        ["--url", "localhost:8000", "list"],
    ):
        assert (await run(api.base_url, *arguments)).code == 2, arguments
    assert "not both" not in (await run(api.base_url, "replay")).err
    assert "not both" in (await run(api.base_url, "replay", "id", "--kind", "x")).err
    refused = await run(api.base_url, "list", "--created-after", "yesterday")
    assert refused.code == 1
    assert "created_after" in refused.err


async def test_reader_that_has_seen_enough_gets_no_traceback(api: httpx.AsyncClient) -> None:
    one = {"kind": "update_stats", "args": {"subject": "s", "event": "e"}, "delay": 3600}
    (await api.post("/v1/jobs/batch", json={"jobs": [one] * 1000})).raise_for_status()
    command = f"{POSTLUDE} jobs --url {api.base_url} list --all | head -n 2"
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert len(out.splitlines()) == 2
    assert err == b""
