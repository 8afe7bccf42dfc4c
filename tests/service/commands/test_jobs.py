"""`postlude jobs` as a process, against a running API and worker."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from jobs import load
from service.settings import Settings
from tests.support.raw_receiver import always, raw_receiver
from tests.support.receiver import receiving
from tests.support.running import eventually, running_api, running_worker

POSTLUDE = Path(sys.executable).with_name("postlude")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}


class Answer(BaseModel):
    code: int
    out: str
    err: str

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


async def run(url: httpx.URL | str, *arguments: str, **env: str) -> Answer:
    """Run `postlude jobs`; it must never print a traceback."""
    process = await asyncio.create_subprocess_exec(
        str(POSTLUDE), "jobs", *arguments,
        env=CLEAN | {"POSTLUDE_URL": str(url)} | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return Answer(code=process.returncode or 0, out=out.decode(), err=err.decode())


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """One database is enough: the commands only know HTTP."""
    (tmp_path / "postlude.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}"


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


async def enqueue(api: httpx.AsyncClient, subject: str = "s", **options: Any) -> str:
    body = {"kind": "update_stats", "args": {"subject": subject, "event": "e"}, "delay": 3600} | options
    answer = await api.post("/v1/jobs", json=body)
    return str(answer.raise_for_status().json()["id"])


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
    refused = await run(api.base_url, "list", "--created-after", "yesterday")
    assert refused.code == 1
    assert "created_after" in refused.err


async def test_key_comes_from_the_environment(settings: Settings) -> None:
    async with running_api(Settings(**{**settings.model_dump(), "api_keys": "s3cret"})) as api:
        refused = await run(api.base_url, "list")
        assert refused.code == 1
        assert "POSTLUDE_API_KEY" in refused.err
        assert (await run(api.base_url, "list", POSTLUDE_API_KEY="s3cret")).code == 0


async def test_no_server_and_a_wrong_server_are_reported_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for arguments in (["list"], ["show", "id"], ["cancel", "a", "b"], ["tail", "id"], ["tail"]):
        away = await run(f"http://127.0.0.1:{port}", *arguments, HTTP_PROXY="http://127.0.0.1:9")
        assert away.code == 1
        assert away.err.startswith(f"error: nobody answers at http://127.0.0.1:{port} ("), away.err
        assert away.err.count("error") == 1
    async with receiving() as other:
        for arguments in (["list"], ["tail", "id"]):
            answered = await run(other.url, *arguments)
            assert answered.code == 1
            assert "POSTLUDE_URL" in answered.err


JOB = b'{"id": "a", "kind": "k", "state": "failed", "attempt": 1'
ODD_ANSWERS = {
    "nothing": (200, "application/json", b"{}"),
    "a list": (200, "application/json", b"[]"),
    "no jobs": (200, "application/json", b'{"jobs": [1], "next_cursor": null}'),
    "odd jobs": (200, "application/json", b'{"jobs": [%s, "error": "boom"}], "next_cursor": null}' % JOB),
    "too deep": (200, "application/json", b"[" * 100_000),
    "odd progress": (200, "application/json", JOB + b', "progress": 5, "attempts": null}'),
    "an odd problem": (500, "application/problem+json", b"[]"),
    "odd mistakes": (422, "application/problem+json", b'{"detail": "no", "errors": ["x"]}'),
    "an event of no JSON": (200, "text/event-stream", b"event: state\ndata: {\n\n"),
    "an odd event": (200, "text/event-stream", b"event: state\ndata: []\n\n"),
}


@pytest.mark.parametrize(("status", "media_type", "content"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_answers_that_are_not_the_apis_are_reported_in_a_sentence(
    status: int, media_type: str, content: bytes
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
    async with raw_receiver(always(f"{head}Connection: close\r\n\r\n".encode() + content)) as other:
        for arguments in (["list"], ["show", "a"], ["cancel", "a"], ["replay", "--kind", "k"], ["tail", "a"], ["tail"]):
            answered = await run(other.url, *arguments)
            assert answered.code == 1, arguments
            assert "is not Postlude's API" in answered.err, answered.err


async def test_invalid_environment_is_reported_without_showing_the_key() -> None:
    for arguments, environment, code in (
        (["--url", "http://[::1", "list"], {}, 2),
        (["list"], {"POSTLUDE_API_KEY": "schlüssel"}, 2),
        (["list"], {"POSTLUDE_API_KEY": "s3cret\nkey"}, 2),
        (["list"], {"HTTP_PROXY": "bogus://x"}, 1),
        (["list"], {"SSL_CERT_FILE": "/nowhere"}, 1),
        (["show", "\udcff"], {}, 1),
    ):
        answered = await run("http://postlude.invalid", *arguments, **environment)
        assert answered.code == code, answered.err
        assert "s3cret" not in answered.err


async def test_closed_pipe_leaves_no_traceback(api: httpx.AsyncClient) -> None:
    one = {"kind": "update_stats", "args": {"subject": "s", "event": "e"}, "delay": 3600}
    (await api.post("/v1/jobs/batch", json={"jobs": [one] * 1000})).raise_for_status()
    command = f"{POSTLUDE} jobs --url {api.base_url} list --all | head -n 2"
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert len(out.splitlines()) == 2
    assert err == b""


async def test_tail_follows_a_job_to_its_end_and_exits_by_its_state(settings: Settings) -> None:
    with_kinds = settings.model_copy(update={"jobs": ("tests.support.journey_kinds",)})
    async with running_api(with_kinds) as api:
        ids = []
        for kind in ("journey_rest", "journey_flaky"):
            answer = await api.post("/v1/jobs", json={"kind": kind, "args": {}, "max_attempts": 1})
            ids.append(answer.raise_for_status().json()["id"])
        following = [asyncio.create_task(run(api.base_url, "tail", job_id)) for job_id in ids]
        async with running_worker(with_kinds, load(with_kinds.jobs)):
            good, bad = await asyncio.gather(*following)
    assert (good.code, good.out.splitlines()[-1]) == (0, "succeeded, attempt 1")
    assert (bad.code, bad.out.splitlines()[-1]) == (1, "failed, attempt 1: Retry: not yet")


async def test_tail_without_an_id_shows_new_jobs_and_how_they_end(api: httpx.AsyncClient) -> None:
    old = await enqueue(api)
    process = await asyncio.create_subprocess_exec(
        str(POSTLUDE), "jobs", "tail", "--json", "--kind", "update_stats",
        env=CLEAN | {"POSTLUDE_URL": str(api.base_url)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    told: list[tuple[str, str]] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            job = json.loads(line)
            told.append((job["id"], job["state"]))

    reading = asyncio.create_task(read())
    new: list[str] = []

    async def told_of_a_new_one() -> bool:
        new.append(await enqueue(api))
        await asyncio.sleep(0.5)
        return bool(told)

    await eventually(told_of_a_new_one, timeout_s=60)
    job_id = told[0][0]
    await run(api.base_url, "cancel", job_id)

    async def told_of_the_change() -> bool:
        return (job_id, "cancelled") in told

    await eventually(told_of_the_change, timeout_s=60)
    process.terminate()
    await process.wait()
    await reading
    assert job_id in new
    assert old not in {each for each, _ in told}
