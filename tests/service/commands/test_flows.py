"""`postlude flows`, as a process, against an API that runs."""

import json
from functools import partial
from typing import Any

import httpx

from tests.service.api.driving import stat
from tests.service.commands import commanding

run = partial(commanding.run, group="flows")


async def enqueue(api: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    jobs = [stat(name="first"), stat(name="then", after=["first"]), stat(name="last", after=["then"])]
    answer = await api.post("/v1/flows", json={"jobs": jobs} | options)
    return dict(answer.raise_for_status().json())


async def test_list_shows_a_table_and_json_is_what_the_api_answers(api: httpx.AsyncClient) -> None:
    assert (await run(api.base_url, "list")).err == "no flows\n"
    first = await enqueue(api, name="import")
    second = await enqueue(api)
    shown = await run(api.base_url, "list")
    heading, newest, oldest = shown.out.splitlines()
    assert heading.split() == ["ID", "NAME", "STATE", "JOBS", "CREATED"]
    assert newest.startswith(second["id"])
    assert oldest.split()[:3] == [first["id"], "import", "running"]
    assert "1 queued" in oldest
    assert "2 blocked" in oldest
    as_json = json.loads((await run(api.base_url, "list", "--limit", "1", "--json")).out)
    assert [flow["id"] for flow in as_json["flows"]] == [second["id"]]
    assert (await run(api.base_url, "list", "--limit", "1")).err.startswith("there are more than 1")


async def test_show_tells_each_job_and_what_it_comes_after(api: httpx.AsyncClient) -> None:
    flow = await enqueue(api, name="a\x1b[2Jb", on_end=stat("over"))
    shown = await run(api.base_url, "show", flow["id"])
    assert "\x1b" not in shown.out
    lines = shown.out.splitlines()
    assert lines[0] == f"id           {flow['id']}"
    assert "on end       update_stats" in lines
    heading = next(number for number, line in enumerate(lines) if line.startswith("NAME"))
    assert [line.split()[:5] for line in lines[heading + 1 : heading + 3]] == [
        ["first", flow["jobs"]["first"], "update_stats", "queued"],
        ["then", flow["jobs"]["then"], "update_stats", "blocked", "first"],
    ]
    assert json.loads((await run(api.base_url, "show", flow["id"], "--json")).out)["id"] == flow["id"]
    gone = await run(api.base_url, "show", "nowhere")
    assert (gone.code, gone.err) == (
        1,
        "error: nowhere: There is no flow 'nowhere'. Its jobs may be past their retention.\n",
    )


async def test_show_reads_as_many_pages_as_it_takes(api: httpx.AsyncClient) -> None:
    jobs = [stat(name=f"job-{n}") for n in range(1_200)]
    flow = (await api.post("/v1/flows", json={"jobs": jobs})).raise_for_status().json()
    shown = await run(api.base_url, "show", flow["id"])
    assert sum(line.startswith("job-") for line in shown.out.splitlines()) == 1_200


async def test_flows_are_cancelled_and_replayed(api: httpx.AsyncClient) -> None:
    flow = await enqueue(api)
    done = await run(api.base_url, "cancel", flow["id"])
    assert (done.code, done.out) == (0, f"{flow['id']}  cancelled  3 cancelled\n"), done.err
    once_more = await run(api.base_url, "cancel", flow["id"])
    assert once_more.out == f"{flow['id']}  cancelled  3 cancelled  (it had ended: nothing was cancelled)\n"
    again = await run(api.base_url, "replay", flow["id"], "nowhere")
    assert again.code == 1
    assert again.out.startswith(f"{flow['id']}  running  ")
    assert "\nreplayed_at  20" in (await run(api.base_url, "show", flow["id"])).out
    assert again.err.startswith("error: nowhere: There is no flow")


async def test_jobs_are_listed_by_their_flow_and_show_what_they_come_after(api: httpx.AsyncClient) -> None:
    flow = await enqueue(api)
    await enqueue(api)
    listed = await commanding.run(api.base_url, "list", "--flow", flow["id"], "--state", "blocked")
    assert len(listed.out.splitlines()) == 3
    shown = await commanding.run(api.base_url, "show", flow["jobs"]["last"])
    assert f"after        {flow['jobs']['then']}" in shown.out
    assert f"blocked_by   {flow['jobs']['then']}" in shown.out
    assert f"waiting_for  job {flow['jobs']['then']} (update_stats) to succeed" in shown.out
