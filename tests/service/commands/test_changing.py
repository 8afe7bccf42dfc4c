"""`postlude jobs change`, `run-now` and the filters of lists, as processes, against an API that runs."""

import json

import httpx
import pytest

from tests.service.api.driving import get, on_sqlite
from tests.service.commands.commanding import enqueue, run

pytestmark = on_sqlite


async def test_jobs_are_changed_and_one_refused_keeps_no_other_from_it(api: httpx.AsyncClient) -> None:
    first, second = await enqueue(api, tags=["a"], lane="x"), await enqueue(api)
    changes = ["--priority", "5", "--tag", "b", "--tag", "c", "--metadata", '{"n": 1}', "--reset", "lane"]
    changes += ["--args", '{"subject": "new", "event": "e"}', "--timeout", "1.5", "--run-at", "2126-01-01T00:00:00Z"]
    done = await run(api.base_url, "change", first, "nobody", second, *changes)
    assert done.code == 1
    assert done.out.splitlines() == [f"{first}  scheduled", f"{second}  scheduled"]
    assert done.err.startswith("error: nobody: There is no job")
    job = await get(api, first)
    assert (job["priority"], job["tags"], job["metadata"], job["lane"]) == (5, ["b", "c"], {"n": 1}, None)
    assert (job["args"]["subject"], job["run_at"]) == ("new", "2126-01-01T00:00:00.000000Z")
    now = await run(api.base_url, "run-now", first, "--json")
    assert [one["state"] for one in now.json_lines] == ["queued"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["change", "ID"], 2, "Say what to change"),
        (["change", "--priority", "1"], 2, "Name at least one job"),
        (["change", "ID", "--lane", "a", "--reset", "lane"], 2, "lane cannot be both given and reset"),
        (["change", "ID", "--args", "{"], 2, "not JSON"),
        (["change", "ID", "--priority", "99"], 1, "priority"),
        (["change", "ID", "--args", '{"subjekt": 1}'], 1, "args.subjekt"),
        (["run-now", "nobody"], 1, "There is no job"),
        (["list", "--arg", "subject"], 2, "not PATH=VALUE"),
        (["list", "--arg", "subject=a", "--arg", "subject=b"], 2, "twice"),
        (["list", "--arg", "a..b=1"], 1, "without a name"),
    ],
)
async def test_what_is_wrong_is_said(api: httpx.AsyncClient, arguments: list[str], code: int, told: str) -> None:
    job_id = await enqueue(api)
    done = await run(api.base_url, *(job_id if one == "ID" else one for one in arguments))
    assert done.code == code
    assert told in done.err


async def test_lists_are_narrowed_down_by_args_metadata_and_text(api: httpx.AsyncClient) -> None:
    one = await enqueue(api, "one", metadata={"tenant": {"id": 7}})
    two = await enqueue(api, "two", metadata={"tenant": {"id": 8}, "note": "Größe"})
    for options, found in (
        (["--arg", "subject=one"], [one]),
        (["--metadata", "tenant.id=8", "--arg", "event=e"], [two]),
        (["--arg", "subject=one", "--metadata", "tenant.id=8"], []),
        (["--text", "GRÖSSE"], [two]),
        (["--text", "e"], [two, one]),
    ):
        listed = json.loads((await run(api.base_url, "list", "--json", *options)).out)
        assert [job["id"] for job in listed["jobs"]] == found, options
    assert (await run(api.base_url, "list", "--arg", "subject=none")).err == "no jobs\n"
