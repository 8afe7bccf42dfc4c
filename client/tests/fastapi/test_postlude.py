import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from client.tests.fastapi.functions import send
from client.tests.fastapi.service import Service, asking, serving, until
from fastapi import FastAPI

from postlude import mode
from postlude.errors import SettingsInvalid
from postlude.fastapi import BackgroundTasks, Postlude, connected
from postlude.fastapi.local import say_that_tasks_run_here

pytestmark = pytest.mark.postlude("send")


def test_app_that_needs_a_service_does_not_start_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_REQUIRED", "1")
    with pytest.raises(SettingsInvalid, match="POSTLUDE_REQUIRED is set, but POSTLUDE_URL is not"):
        Postlude(FastAPI())


def test_bad_url_of_the_app_is_told(service: Service) -> None:
    with pytest.raises(SettingsInvalid, match="Write the whole URL"):
        Postlude(FastAPI(), url="shop.internal")


async def test_app_that_has_started_cannot_get_the_layer() -> None:
    app = FastAPI()
    async with asking(app) as client:
        await client.get("/")
    with pytest.raises(RuntimeError, match="write Postlude"):
        Postlude(app)


@contextmanager
def module_gone(name: str) -> Iterator[None]:
    module = sys.modules.pop(name)
    try:
        yield
    finally:
        sys.modules[name] = module


def test_app_without_a_service_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    mode.force(None)
    say_that_tasks_run_here.cache_clear()
    app = FastAPI()
    Postlude(app)

    @app.post("/x")
    def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "ann")

    with module_gone("pytest"), serving(app) as url:
        for _ in range(2):
            assert httpx.post(f"{url}/x").status_code == 200
    [told] = [record for record in caplog.records if record.name == "postlude"]
    assert told.levelno == logging.ERROR
    assert told.getMessage().startswith("POSTLUDE_URL is not set: background tasks run in this process")
    say_that_tasks_run_here.cache_clear()


def test_app_registers_as_it_starts_if_it_knows_its_url(service: Service) -> None:
    app = FastAPI(title="shop")
    Postlude(app, url="http://shop.internal:8000/", name="the-shop")
    with serving(app):
        asyncio.run(until(lambda: service.apps))
    assert service.apps["the-shop"]["url"] == "http://shop.internal:8000"


def test_app_registers_as_soon_as_the_service_takes_it(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    from client.tests.fastapi.test_layer import refusal

    service.answers["/v1/apps/fastapi"] = refusal()
    app = FastAPI()
    Postlude(app, url="http://shop.internal:8000")
    with serving(app):
        asyncio.run(until(lambda: service.requests))
        service.answers.clear()
        asyncio.run(until(lambda: service.apps))
    assert "not registered at Postlude" in caplog.text


@pytest.mark.parametrize("url", ["http://shop.internal:8000", None], ids=["told", "learned"])
def test_app_that_the_service_has_lost_registers_again(
    service: Service, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    monkeypatch.setattr(connected, "LONGEST_PAUSE_S", 0.01)
    app = FastAPI()
    Postlude(app, url=url)
    with serving(app) as here:
        httpx.get(here)
        asyncio.run(until(lambda: service.apps))
        service.apps.clear()
        asyncio.run(until(lambda: service.apps))
    assert service.apps["fastapi"]["url"] == (url or here)


SHOP = """
import asyncio, sys, time
from fastapi import FastAPI
from postlude.fastapi import BackgroundTasks, Postlude, connected

app = FastAPI(title="shop")
Postlude(app)

async def slow():
    print("began", flush=True)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise

def block():
    print("began", flush=True)
    time.sleep(60)

@app.post("/{name}")
def add(name: str, tasks: BackgroundTasks):
    tasks.add_task({"slow": slow, "block": block}[name])
"""


@pytest.mark.parametrize("name", ["slow", "block"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_server_that_is_told_to_stop_interrupts_functions_and_ends(
    service: Service, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    tmp_path.joinpath("shop.py").write_text(SHOP)
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", "0", "--log-level", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            lines: list[str] = []
            url = await asyncio.to_thread(_url_of, process, lines)
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                assert (await client.post(f"/{name}")).status_code == 200
                verdict = asyncio.create_task(service.run(client, service.jobs[-1]))
                assert await asyncio.to_thread(_line_of, process, "began")
                process.send_signal(number)
                assert await verdict == {"outcome": "interrupted"}
            if (name, number) != ("block", signal.SIGINT):  # then Python waits for the thread, as without Postlude
                assert await asyncio.to_thread(process.wait, 20) is not None
        finally:
            process.kill()


def _url_of(process: Any, lines: list[str]) -> str:
    for line in process.stdout:
        lines.append(line)
        if "running on" in line:
            return str(line.split("running on ")[1].split()[0])
    raise AssertionError("".join(lines))


def _line_of(process: Any, text: str) -> bool:
    return any(text in line for line in process.stdout)
