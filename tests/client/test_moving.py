"""A whole move: an app whose one import was changed, the service and a worker, in processes of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import httpx
import pytest

import jobs
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.faults.system import Process
from tests.support.processes import BIN, api_process, environment, free_port
from tests.support.rescuing import let_it_rescue, let_the_rescue_be_now
from tests.support.running import eventually, running_worker
from tests.support.worker_process import registered, worker_process

pytestmark = [pytest.mark.parametrize("database_url", ["sqlite"], indirect=True), pytest.mark.timeout(240)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with which a worker says that it is ready."""
    return settings.model_copy(update={"log_level": "INFO"})


BEFORE = """
import asyncio
from datetime import datetime
from pathlib import Path

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI(title="Shop")
done = Path(__file__).with_name("done.txt")


def note(what: str) -> None:
    with done.open("a") as file:
        file.write(what + "\\n")


def clock() -> str:
    return "solved afresh"


async def send_email(to: str, at: datetime, when: str = Depends(clock)) -> dict[str, str]:
    note(f"mail to {to}, {type(at).__name__}, {when}")
    return {"sent": to}


def audit(what: str) -> None:
    note(f"audit {what}")


async def slow(name: str) -> None:
    note(f"began {name}")
    try:
        while not Path(__file__).with_name("go.txt").exists():
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        note(f"cancelled {name}")
        raise
    note(f"ended {name}")


def refuse() -> None:
    raise LookupError("nobody lives there")


@app.post("/orders")
async def order(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_email, "ann@example.com", at=datetime(2026, 1, 2))
    tasks.add_task(audit, what="order")
    return {"answer": "taken"}


@app.post("/slow/{name}")
async def begin(name: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(slow, name)


@app.post("/refuse")
def begin_refused(tasks: BackgroundTasks) -> None:
    tasks.add_task(refuse)
"""


def moved(source: str) -> str:
    """Change the one import, and add the one line."""
    source = source.replace(
        "from fastapi import BackgroundTasks, Depends, FastAPI\n",
        "from fastapi import Depends, FastAPI\nfrom postlude.fastapi import BackgroundTasks, Postlude\n",
    )
    return source.replace('app = FastAPI(title="Shop")\n', 'app = FastAPI(title="Shop")\nPostlude(app)\n')


@dataclass
class Shop:
    """The app in its process, and the API of the service."""

    process: Process
    http: httpx.AsyncClient
    api: httpx.AsyncClient
    folder: Path

    def done(self) -> list[str]:
        path = self.folder / "done.txt"
        return path.read_text().splitlines() if path.exists() else []

    async def has_done(self, *lines: str) -> None:
        async def is_there() -> bool:
            return set(lines) <= set(self.done())

        await eventually(is_there, 90)

    async def starts(self) -> None:
        self.process.start()

        async def answers() -> bool:
            assert self.process.status is None, self.process.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return (await self.http.get("/openapi.json")).status_code == 200
            return False

        await eventually(answers, 60)

    async def post(self, path: str) -> None:
        answer = await self.http.post(path)
        assert answer.status_code == 200, answer.text

    async def jobs(self, label: str) -> list[dict[str, Any]]:
        answer = await self.api.get("/v1/jobs", params={"kind": label, "expand": "attempts"})
        jobs: list[dict[str, Any]] = answer.json()["jobs"]
        return jobs

    async def job(self, label: str, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = 90) -> dict[str, Any]:
        """Wait until the job of this label is as wanted."""

        async def found() -> dict[str, Any] | None:
            return next(filter(is_so, await self.jobs(label)), None)

        job = await eventually(found, timeout_s)
        assert job is not None
        return job


@asynccontextmanager
async def open_shop(settings: Settings, folder: Path) -> AsyncIterator[Shop]:
    (folder / "shop_main.py").write_text(moved(BEFORE))
    async with api_process(settings) as (api, _):
        port = free_port()
        process = Process(
            (str(BIN / "uvicorn"), "--app-dir", str(folder), "shop_main:app", "--port", str(port)),
            environment(URL=str(api.base_url)) | {"XDG_STATE_HOME": str(folder)},
            folder / "shop.log",
        )
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            shop = Shop(process, http, api, folder)
            await shop.starts()
            try:
                yield shop
            finally:
                await process.kill()
                process.kill_the_rest()


async def test_an_app_is_moved_by_changing_one_import(settings: Settings, tmp_path: Path) -> None:
    async with open_shop(settings, tmp_path) as shop, worker_process(settings, tmp_path) as worker:
        await registered(worker)
        assert (await shop.http.post("/orders")).json() == {"answer": "taken"}
        await shop.post("/refuse")
        await shop.has_done("mail to ann@example.com, datetime, solved afresh", "audit order")

        mail = await shop.job("shop.shop_main.send_email", lambda job: job["state"] == "succeeded")
        assert (mail["kind"], mail["lanes"], mail["result"]) == ("call_app", ["app:shop"], {"sent": "ann@example.com"})
        assert mail["args"]["arguments"]["to"] == "ann@example.com"
        refused = await shop.job("shop.shop_main.refuse", lambda job: job["state"] == "retrying")
        assert refused["error"] == {"type": "LookupError", "message": "nobody lives there"}
        assert "shop_main.py" in refused["attempts"][0]["error"]["traceback"]
        labels = (await shop.api.get("/v1/kinds")).json()["labels"]
        assert [one["name"] for one in labels] == [
            "shop.shop_main.audit",
            "shop.shop_main.refuse",
            "shop.shop_main.send_email",
        ]
        assert (await shop.api.get("/v1/apps/shop")).json()["url"] == str(shop.http.base_url).rstrip("/") + "/"


async def test_what_an_app_has_accepted_outlives_kill_9_of_the_app_and_of_the_worker(
    settings: Settings, ledger: Ledger, tmp_path: Path, swept_at_once: None
) -> None:
    async with open_shop(settings, tmp_path) as shop:
        async with worker_process(settings, tmp_path) as worker:
            await registered(worker)
            await shop.post("/slow/a")
            await shop.has_done("began a")
            await shop.process.kill()
            failed = await shop.job("shop.shop_main.slow", lambda job: job["state"] == "retrying")
            assert failed["error"]["type"] == "AppUnreachable"
            (tmp_path / "done.txt").unlink()
            await shop.starts()
            await shop.has_done("began a")  # in an app that has not added it since it started
            worker.send(Signals.SIGKILL)
            await worker.ended(30)
            await shop.has_done("cancelled a")  # a cut connection cancels the function
        (tmp_path / "go.txt").touch()
        await let_the_rescue_be_now(ledger)
        async with running_worker(settings, jobs.load(settings.jobs)):
            await let_it_rescue(ledger)
            ended = await shop.job("shop.shop_main.slow", lambda job: job["state"] == "succeeded", 120)
        assert "ended a" in shop.done()
        assert [one["outcome"] for one in ended["attempts"]] == ["failed", "crashed", "succeeded"]
        assert ended["failures"] == 1


async def test_a_stop_of_the_app_costs_no_attempt_and_a_cancel_reaches_the_function(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_shop(settings, tmp_path) as shop, worker_process(settings, tmp_path) as worker:
        await registered(worker)
        await shop.post("/slow/a")
        await shop.has_done("began a")
        shop.process.send(Signals.SIGTERM)
        await shop.has_done("cancelled a")
        await shop.process.ended(30)
        (tmp_path / "done.txt").unlink()
        await shop.starts()
        await shop.has_done("began a")
        [job] = await shop.jobs("shop.shop_main.slow")
        assert job["attempts"][0]["outcome"] == "snoozed"
        assert (await shop.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 200
        async with asyncio.timeout(20):
            await shop.has_done("cancelled a")
        await shop.job("shop.shop_main.slow", lambda job: job["state"] == "cancelled")


async def test_a_paused_label_waits_and_goes_on(settings: Settings, tmp_path: Path) -> None:
    async with open_shop(settings, tmp_path) as shop, worker_process(settings, tmp_path) as worker:
        await registered(worker)
        await shop.post("/slow/a")
        await shop.has_done("began a")
        assert (await shop.api.post("/v1/kinds/shop.shop_main.slow/pause")).status_code == 200
        await shop.post("/slow/b")
        await shop.post("/orders")
        await shop.has_done("audit order")
        assert "began b" not in shop.done()
        waiting = await shop.job("shop.shop_main.slow", lambda job: job["state"] == "queued")
        assert waiting["waiting_for"] == "its kind shop.shop_main.slow is paused"
        assert (await shop.api.post("/v1/kinds/shop.shop_main.slow/resume")).status_code == 200
        await shop.has_done("began b")
