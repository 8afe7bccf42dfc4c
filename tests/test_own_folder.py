"""`postlude dev` in the user's own folder: it finds kinds there, refuses invalid ones, and restarts after an edit."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.forking import fork_server
from tests.support.processes import BIN, ForkedChild, environment, free_port, ran
from tests.support.running import eventually

# Several processes are started one after another, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(400)
WITHIN_S = 120.0
# What it starts are processes of their own, which import all anew.
DEV = (str(BIN / "postlude"), "dev")
KEY = "s3cret"
GREETINGS = """
import asyncio
from helpers.words import HELLO
from jobs import Context, job
from pydantic import BaseModel

class GreetArgs(BaseModel):
    seconds: float = 0

@job("greet", timeout=600, max_attempts=1)
async def greet(ctx: Context, args: GreetArgs) -> str:
    await asyncio.sleep(args.seconds if ctx.attempt == 1 else 0)
    return HELLO
"""

GREET_AGAIN = """
@job("greet_again")
async def greet_again(ctx: Context, args: GreetArgs) -> str:
    return GOOD_DAY
"""


class Dev:
    """A running `postlude dev`, and what it has printed."""

    def __init__(self, folder: Path, process: ForkedChild, http: httpx.AsyncClient) -> None:
        self.folder = folder
        self.process = process
        self.http = http

    @property
    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    async def until_printed(self, text: str, times: int = 1) -> None:
        async def enough() -> bool:
            assert self.process.returncode is None, self.printed
            return self.printed.count(text) >= times

        try:
            await eventually(enough, timeout_s=WITHIN_S)
        except TimeoutError:
            pytest.fail(f"{text!r} was not printed {times} times:\n{self.printed}")

    async def greet(self, **args: float) -> str:
        answer = await self.http.post("/v1/jobs", json={"kind": "greet", "args": args})
        return str(answer.raise_for_status().json()["id"])

    async def greet_again(self) -> str:
        """Enqueue a job of the other kind, once the API knows it."""

        async def accepted() -> str | None:
            try:
                answer = await self.http.post("/v1/jobs", json={"kind": "greet_again", "args": {}})
            except httpx.TransportError:
                return None
            return str(answer.json()["id"]) if answer.status_code == 202 else None

        return await eventually(accepted, timeout_s=WITHIN_S) or ""

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            job = await self.look(job_id)
            return job if job and job["state"] in ("succeeded", "failed") else None

        return await eventually(look, timeout_s=WITHIN_S) or {}

    async def look(self, job_id: str) -> dict[str, Any] | None:
        try:
            answer = await self.http.get(f"/v1/jobs/{job_id}")
        except httpx.TransportError:
            return None
        job: dict[str, Any] = answer.json()
        return job if answer.status_code == 200 else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space in its name, and with a module `service` that must not shadow ours."""
    own = tmp_path / "my project"
    (own / "helpers").mkdir(parents=True)
    (own / "greetings.py").write_text(GREETINGS)
    (own / "helpers" / "words.py").write_text("HELLO = 'Hello'\n")
    (own / "service.py").write_text("raise RuntimeError('not the one that was meant')\n")
    return own


def given(**settings: str) -> dict[str, str]:
    return environment(PORT=str(free_port()), JOBS="greetings", **settings)


@asynccontextmanager
async def dev(folder: Path, **settings: str) -> AsyncIterator[Dev]:
    env = given(**settings)
    with (folder / "printed").open("wb") as output:
        printed = output.fileno()
        process = ForkedChild(fork_server(os.getpid()).start(DEV, env, folder, printed, printed))
    try:
        url = f"http://127.0.0.1:{env['POSTLUDE_PORT']}"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
            yield Dev(folder, process, http)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def test_kinds_in_the_users_folder_run_restart_when_edited_and_outlive_a_broken_edit(folder: Path) -> None:
    """One `postlude dev`, as a user has it all day: to start it takes longer than any edit."""
    async with dev(folder, API_KEYS=KEY) as running:
        await running.until_printed("ready for jobs")
        assert running.printed.index("worker_registered") < running.printed.index("  Try    curl")
        assert running.printed.index("Application startup complete") < running.printed.index("  Try    curl")
        assert (await running.http.get("/readyz")).json()["status"] == "ready"
        assert (await running.ended(await running.greet()))["result"] == "Hello"
        assert (folder / "var" / "postlude.db").exists()
        await kind_is_edited_and_then_its_helper_while_a_job_runs(running)


async def kind_is_edited_and_then_its_helper_while_a_job_runs(running: Dev) -> None:
    """The kind asks its helper for more than that has yet: all goes on as it was until the helper is edited, too.

    The mend restarts the API, which knows a new kind then, and the worker: a running job is handed back without cost.
    """
    long = await running.greet(seconds=500)

    async def runs() -> bool:
        return ((await running.look(long)) or {}).get("state") == "running"

    await eventually(runs, timeout_s=WITHIN_S)
    (running.folder / "greetings.py").write_text(GREETINGS.replace("HELLO", "GOOD_DAY") + GREET_AGAIN)
    await running.until_printed("the kinds cannot be loaded: greetings: ")
    assert "ImportError" in running.printed
    assert (await running.ended(await running.greet()))["result"] == "Hello"
    assert await runs()
    (running.folder / "helpers" / "words.py").write_text("GOOD_DAY = 'Good day'\n")
    job = await running.ended(long)
    assert job["result"] == "Good day"
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["interrupted", "succeeded"]
    assert (job["failures"], job["crashes"]) == (0, 0)
    assert (await running.ended(await running.greet_again()))["result"] == "Good day"


def test_invalid_kind_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / "greetings.py").write_text(GREETINGS.replace("max_attempts=1", "max_attempts=0"))
    done = ran(DEV, given(), folder, within_s=WITHIN_S)
    assert done.returncode == 1
    assert done.stderr.startswith("error: greetings.py: kind 'greet': "), done.stderr
    assert "Traceback" not in done.stderr
    assert "curl" not in done.stdout
    assert not (folder / "var" / "redis").exists()
